"""The serving log's profile: the features as they were served, to find what training sees in another way."""

from dataclasses import replace

import pyarrow as pa

from components.common.artifacts.snapshot import Partition, Snapshot
from components.common.storage.parquet import open_parquet
from components.validate.drift.reference import Reference
from components.validate.profile.columns import FEATURE_ROLES, Block, blocks_of
from components.validate.profile.scan import Log, Part, complete
from recap_model.config import RecapConfig

_NAME = "the serving log"
_ROLES = (*FEATURE_ROLES, "weight", "id")


def serving_log(snapshot: Snapshot, config: RecapConfig) -> Log | Reference | None:
    """What resolve froze of it and what can be read of it, or why there is none; None if the config names none.

    Columns that it does not have, or in another type, are left out, and so not compared.
    """
    if config.validation.drift.serving_log is None:
        return None
    log = snapshot.serving
    if log is None:
        return Reference(_NAME, reason="the snapshot was made without it; run resolve again")
    if log.missing:
        return Reference(_NAME, reason=log.missing)
    part = Partition(name=f"date={snapshot.first_day}", files=log.files)
    served = snapshot.model_copy(update={"data_root": log.root, "partitions": [part]})
    try:
        schemas = [open_parquet(served, file).schema_arrow for file in log.files]
    except (OSError, ValueError) as error:
        return Reference(_NAME, reason=str(error))
    blocks = [kept for block in blocks_of(config) if (kept := _in_all(block, schemas)) is not None]
    if not any(block.role in FEATURE_ROLES for block in blocks):
        return Reference(_NAME, reason="it has none of the feature columns")
    return Log(served, config, blocks)


def served(log: Log, part: Part) -> Reference:
    """The profile of a serving log of all of whose files ``part`` is."""
    scan = complete(log, part)
    for fault in scan.faults:
        return Reference(_NAME, reason=f"{fault.subject} {fault.observed} in {fault.place}")
    return Reference(_NAME, scan.profile)


def _in_all(block: Block, schemas: list[pa.Schema]) -> Block | None:
    """The block with those of its columns that every file has in a type that it may have."""
    if block.role not in _ROLES:
        return None
    members = tuple(one for one in block.members if not any(map(one.refusal, schemas)))
    return replace(block, members=members) if members else None
