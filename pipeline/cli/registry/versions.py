"""Read versions from the registry for ``recap models``, as plain values and as a table."""

import json
import re
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from components.common import registry
from components.common.registry.load_test.record import read_load_test
from pipeline.cli.registry.version_summary import read_champion_moves, summarize_version
from pipeline.cli.terminal.output import printable

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from rich.table import Table

_TAG_PREFIX = "recap."
_COLUMNS = ("version", "age", "data window", "aliases", "decision", "AUC", "RCE", "who")
_MAY_FOLD, _GAP = ("aliases", "decision", "who"), 2
_OWN_ROWS = "AUC, RCE: each version on its own test rows; recap models diff uses the same."
_LEFT_OUT_FIRST = ("who", "RCE", "age", "AUC", "data window")


def list_versions(client: "MlflowClient", name: str, limit: int) -> tuple[list[dict[str, Any]], list[str]]:
    """The newest versions, newest first, as JSON values, and one line per invalid row of the registry."""
    held, (moves, broken) = registry.aliases(client, name), read_champion_moves(client, name)
    newest = registry.versions(client, name)[:limit]
    summaries = [summarize_version(client, name, version, held, moves) for version in newest]
    lines = [
        f"{name} version {row['version']}: {problem}" for row in summaries for problem in row["problems"]
    ]
    return summaries, [*lines, *([broken] if broken else [])]


def version_table(name: str, versions: list[dict[str, Any]], width: int) -> "Table":
    """A table that fits a terminal; AUC and RCE are means over the tasks that the gate evaluates.

    ``who`` promoted the version last: the gate or a person. Columns that do not fit are omitted and listed below.
    """
    cells = [_format_row(row) for row in versions]
    least = {
        column: max([len(column), *(len(row[column]) for row in cells if column not in _MAY_FOLD)])
        for column in _COLUMNS
    } | {"aliases": len("challenger"), "who": len("the gate")}
    kept, left_out = list(_COLUMNS), []
    for column in _LEFT_OUT_FIRST:
        if sum(least[each] + _GAP for each in kept) - _GAP <= width:
            break
        kept.remove(column)
        left_out.append(column)
    return _build_table(name, cells, {column: least[column] for column in kept}, left_out)


def _build_table(
    name: str, cells: list[dict[str, str]], widths: dict[str, int], left_out: list[str]
) -> "Table":
    """Build the table; ``widths`` has each column's minimum width."""
    from rich.table import Table

    drawn = Table(title=name, title_justify="left", box=None, pad_edge=False, padding=(0, _GAP, 0, 0))
    for column, least in widths.items():
        numeric, folds = column in ("version", "AUC", "RCE"), column in _MAY_FOLD
        justify: Literal["left", "right"] = "right" if numeric else "left"
        drawn.add_column(column, justify=justify, no_wrap=not folds, overflow="fold", min_width=least)
    for row in cells:
        drawn.add_row(*(printable(row[column]) for column in widths))
    captions = [_OWN_ROWS] if {"AUC", "RCE"} & widths.keys() else []
    captions += [f"A wider terminal shows {', '.join(left_out)}."] if left_out else []
    drawn.caption = "\n".join(captions)
    drawn.caption_justify = "left"
    return drawn


def _format_row(row: dict[str, Any]) -> dict[str, str]:
    failed = ", proof failed" if row["proof"].startswith("failed") else ""
    by_gate = (row["who"] or "").startswith("pipeline run ")
    return {
        "version": row["version"],
        "age": _format_age(row["created"]),
        "data window": _format_window(row["window"] or ""),
        "aliases": ", ".join(row["aliases"]),
        "decision": f"{row['outcome'] or ''}{failed}",
        "AUC": _format_mean(row["metrics"], "auc", ".4f"),
        "RCE": _format_mean(row["metrics"], "rce", ".2f"),
        "who": "the gate" if by_gate else row["who"] or "",
    }


def _format_window(window: str) -> str:
    """The first and last day; the last one without its year if both years are equal.

    >>> _window("2026-03-01..2026-03-06")
    '2026-03-01..03-06'
    """
    first, _, last = window.partition("..")
    return f"{first}..{last[5:]}" if last and first[:5] == last[:5] else window


def _format_age(created: str | None) -> str:
    if created is None:
        return "unknown"
    age = datetime.now(UTC) - datetime.fromisoformat(created)
    for unit, name in ((timedelta(days=1), "d"), (timedelta(hours=1), "h"), (timedelta(minutes=1), "min")):
        if age >= unit:
            return f"{age // unit} {name}"
    return f"{max(age, timedelta()).seconds} s"


def _format_mean(metrics: dict[str, float], name: str, shown: str) -> str:
    """A metric's mean over the tasks that the gate evaluates; over all tasks if that was not recorded."""
    tasks = [value for task, value in metrics.items() if task.startswith(f"{name}/")]
    mean = metrics.get(f"mean_{name}", sum(tasks) / len(tasks) if tasks else None)
    return "" if mean is None else format(mean, shown)


def alias_warning(client: "MlflowClient", name: str) -> str | None:
    """A warning if the champion is not the version of the newest recorded promotion; else None."""
    moves, _ = read_champion_moves(client, name)
    current = registry.aliases(client, name).get("champion")
    if not moves or moves[-1].to == current:
        return None
    is_now = f"version {current}" if current else "no version"
    return (
        f"model {name}: the record says that {moves[-1].who} made version {moves[-1].to} champion at "
        f"{moves[-1].when}, but {is_now} is; the alias was moved outside Recap, or the promotion was interrupted"
    )


def describe_version(client: "MlflowClient", name: str, version: str) -> dict[str, Any]:
    """Everything recorded about one version. Raises RegistryError if it does not exist."""
    model_version = registry.get_version(client, name, version)
    all_moves, broken = read_champion_moves(client, name)
    summary = summarize_version(client, name, model_version, registry.aliases(client, name), all_moves)
    summary["problems"] += [broken] if broken else []
    moves = [move for move in all_moves if version in (move.source, move.to)]
    proof = read_load_test(client, model_version)
    measured = {"measured": proof.model_dump()} if proof else {}
    history = [f"{move.when} {move.who}: {move.source or 'none'} -> {move.to}, {move.why}" for move in moves]
    return {**summary, **measured, "lineage": _lineage(client, model_version), "moves": history}


def _lineage(client: "MlflowClient", model_version: "ModelVersion") -> dict[str, Any]:
    """A version's lineage: its tags and its lineage file, or why the file cannot be read."""
    tags = {
        key.removeprefix(_TAG_PREFIX): value
        for key, value in sorted(model_version.tags.items())
        if key.startswith(_TAG_PREFIX) and key != registry.LOAD_TEST_TAG
    }
    try:
        content = registry.fetch_file(
            client, model_version.name, str(model_version.version), registry.LINEAGE_PATH
        )
        return {**tags, **(json.loads(content) if content else {})}
    except registry.RegistryError as error:
        return {**tags, "artifacts": str(error)}


def format_lines(known: dict[str, Any], indent: str = "") -> Iterator[str]:
    """Nested values as indented lines; digests are shortened to twelve characters."""
    for key, value in known.items():
        if isinstance(value, dict):
            yield f"{indent}{key}:"
            yield from format_lines(value, indent + "  ")
        elif isinstance(value, list) and len(value) > 1:
            yield f"{indent}{key}:"
            yield from (f"{indent}  {item}" for item in value)
        elif isinstance(value, list):
            yield f"{indent}{key}: {value[0] if value else 'none'}"
        else:
            yield f"{indent}{key}: {format_value(value)}"


def format_value(value: Any) -> str:
    """A value as text: numbers with six significant digits, a SHA-256 by its first twelve characters."""
    if isinstance(value, float):
        return format(value, ".6g")
    text = "none" if value is None else str(value)
    return text[:12] if re.fullmatch("[0-9a-f]{64}", text) else text


def format_change(before: Any, after: Any) -> str:
    """Two values of a field, and the difference of two numbers."""
    numbers = [value for value in (before, after) if isinstance(value, float)]
    moved = f" ({numbers[1] - numbers[0]:+.4g})" if len(numbers) == 2 else ""
    return f"{format_value(before)} -> {format_value(after)}{moved}"


def compare_versions(
    client: "MlflowClient", name: str, first: str, second: str
) -> dict[str, tuple[Any, Any]]:
    """Fields of config and lineage that differ between two versions, with both values."""
    sides = []
    for version in (first, second):
        known = describe_version(client, name, version)
        kept = {
            "config": _read_config(client, name, version),
            "lineage": known["lineage"],
        }
        sides.append(dict(_flatten(kept)))
    before, after = sides
    return {
        field: (before.get(field), after.get(field))
        for field in dict.fromkeys([*before, *after])
        if before.get(field) != after.get(field)
    }


def _read_config(client: "MlflowClient", name: str, version: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="recap-version-") as temporary:
        folder = registry.download(client, name, version, Path(temporary))
        return json.loads((folder / "config.json").read_text())


def _flatten(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flatten(inner, f"{path}.{key}" if path else str(key))
    else:
        yield path, value
