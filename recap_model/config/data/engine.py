"""The section `data.engine`: what validate and prepare run on. It decides nothing about their output."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from recap_model.config.base import StrictModel
from recap_model.config.fields.uris import without_secret

_MASTER = re.compile(r"(local|local\[(\d+|\*)\]|(spark|k8s|sc)://\S+|yarn)")
_SECRET = re.compile(
    r"secret|password|passphrase|token|credential|access\.key|account\.key|private\.key", re.IGNORECASE
)


def _check_master(master: str) -> str:
    if not _MASTER.fullmatch(master):
        raise ValueError(
            f"{master!r} is no Spark master; masters: local[N], local[*], spark://HOST:PORT, "
            "k8s://https://HOST:PORT, sc://HOST:PORT"
        )
    return without_secret(master, "")


def _check_conf(conf: dict[str, str]) -> dict[str, str]:
    for name in conf:
        if not name.startswith("spark."):
            raise ValueError(f"{name!r} is no setting of Spark, whose names begin with spark.")
        if _SECRET.search(name):
            raise ValueError(
                f"{name} is a secret, which artifacts and the registry would keep; give it in the environment, or in "
                "the cluster's spark-defaults.conf"
            )
    return conf


class LocalEngineConfig(StrictModel):
    """Processes of the step's machine, one a core."""

    kind: Literal["local"] = "local"


class SparkEngineConfig(StrictModel):
    """A Spark cluster, whose executors have the same Recap installed as the step."""

    kind: Literal["spark"]
    master: Annotated[str, AfterValidator(_check_master)] | None = Field(
        None,
        description="local[N], spark://…, k8s://… or, of Spark Connect, sc://…; if not given, the Kubernetes "
        "that the step runs on with the executors of the cluster's file, and local[*] elsewhere",
    )
    conf: Annotated[dict[str, str], AfterValidator(_check_conf)] = Field(
        {}, description="settings of Spark, as spark.executor.memory: 8g"
    )


EngineConfig = Annotated[LocalEngineConfig | SparkEngineConfig, Field(discriminator="kind")]
