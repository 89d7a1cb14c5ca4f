"""``recap score``: write probabilities and scores for Parquet files of rows."""

import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.workspace import DEFAULT_WORKSPACE, UriOption, WorkspaceOption


def score(
    data: Annotated[str, typer.Option("--in", help="Parquet file, folder of them, or URI.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the scores, a file for each file in.")],
    model: Annotated[
        str, typer.Option(help="models:/NAME@ALIAS, models:/NAME/VERSION, or a model's folder.")
    ] = "models:/recap@champion",
    weights: Annotated[
        list[str] | None, typer.Option("--weight", help="TASK=WEIGHT in the score, instead of the model's.")
    ] = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    tracking_uri: UriOption = "",
) -> None:
    """Score rows: ids, each task's calibrated probability, and the weighted score.

    Files that are already scored are skipped, so an interrupted call resumes when it is repeated.

    Example: `recap score --in log/date=2026-03-07 --out scores`
    """
    from components.common.registry import default_tracking_uri
    from pipeline.local.scoring import find_model, score_files

    changed = _parse_weights(weights or [])
    started = time.monotonic()

    def print_progress(done: int, name: str) -> None:
        if sys.stderr.isatty():
            rate = done / max(time.monotonic() - started, 1e-9)
            print(f"\r{done:,} rows, {rate:,.0f} rows/s, {name}\x1b[K", end="", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as scratch:
        source = find_model(model, tracking_uri or default_tracking_uri(workspace), Path(scratch))
        rows = score_files(source, data, out, changed, print_progress)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    typer.echo(f"{out}: {rows:,} rows scored by {source.name}")


def _parse_weights(given: list[str]) -> dict[str, float]:
    weights = {}
    for text in given:
        task, separator, weight = text.rpartition("=")
        try:
            weights[task] = float(weight)
        except ValueError:
            separator = ""
        if not separator:
            raise ValueError(f"--weight: {text!r}: write TASK=WEIGHT, as like=0.5")
    return weights
