"""Nulls in a log's column, and the verdict in a data page."""

import json
import re
from pathlib import Path

import pyarrow as pa


def nulls_in(share: float):
    return lambda column: pa.array(
        [None if place < share * len(column) else value for place, value in enumerate(column.to_pylist())],
        type=column.type,
    )


def verdict_in(page: Path) -> dict:
    match = re.search(r'<script type="application/json" id="verdict">(.*?)</script>', page.read_text(), re.S)
    return json.loads(match[1])
