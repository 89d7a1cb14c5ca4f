"""The serving log's profile, the reference of training-serving skew."""

from dataclasses import replace

import pyarrow as pa

from components.common.artifacts.snapshot import Partition, Snapshot
from components.common.storage.parquet import count_rows, read_schemas
from components.validate.drift.reference import Reference
from components.validate.profile.columns import FEATURE_ROLES, Block, list_blocks
from components.validate.profile.scan import Log, Scan
from recap_model.config import RecapConfig

_NAME = "the serving log"
_ROLES = (*FEATURE_ROLES, "weight", "id")


def open_serving_log(snapshot: Snapshot, config: RecapConfig) -> Log | Reference | None:
    """Open the serving log that resolve froze: its readable columns, or the reason that there are none.

    None if the config names no serving log.

    Columns that it lacks, or has in another type, are not compared.
    """
    if config.validation.drift.serving_log is None:
        return None
    log = snapshot.serving
    if log is None:
        return Reference(_NAME, reason="the snapshot was made without it; run resolve again")
    if log.missing:
        return Reference(_NAME, reason=log.missing)
    partition = Partition(name=f"date={snapshot.first_day}", files=log.files)
    served = snapshot.model_copy(
        update={"data_root": log.root, "table": log.table, "partitions": [partition]}
    )
    try:
        served = count_rows(served)
        schemas = read_schemas(served)
    except (OSError, ValueError) as error:
        return Reference(_NAME, reason=str(error))
    blocks = [
        common for block in list_blocks(config) if (common := _select_common(block, schemas)) is not None
    ]
    if not any(block.role in FEATURE_ROLES for block in blocks):
        return Reference(_NAME, reason="it has none of the feature columns")
    return Log(served, config, blocks)


def build_reference(scan: Scan) -> Reference:
    """The reference from the scan of a serving log; without a profile if a file has a fault."""
    for fault in scan.faults:
        return Reference(_NAME, reason=f"{fault.subject} {fault.observed} in {fault.location}")
    return Reference(_NAME, scan.profile)


def _select_common(block: Block, schemas: list[pa.Schema]) -> Block | None:
    """The block with only the columns that every file has in a type that they may have."""
    if block.role not in _ROLES:
        return None
    members = tuple(member for member in block.members if not any(map(member.refusal, schemas)))
    return replace(block, members=members) if members else None
