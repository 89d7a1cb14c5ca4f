"""One validation in this process: what it takes, and its verdict on each expectation."""

import json
import resource
import time
from importlib import import_module
from pathlib import Path

from tests.benchmarks.validate.log import expectations

Verdicts = dict[str, bool]


def ours(work: Path) -> Verdicts:
    """The step as the pipeline runs it: all of its rules, drift aside, and the 180 expectations."""
    from components.validate.validate import validate_snapshot

    verdict = validate_snapshot(work / "snapshot", work / "validated", work / "docs.html")
    broken = {
        (item.rule, item.subject.removeprefix("column "))
        for item in verdict.results
        if item.rule.startswith("expect_") and not item.success
    }
    return {
        _name(item["type"], item["kwargs"]["column"]): (item["type"], item["kwargs"]["column"]) not in broken
        for item in expectations()
    }


def plain(work: Path) -> Verdicts:
    """Great Expectations over one pandas frame of the whole log."""
    import pandas as pd

    from components.validate.checks.great_expectations import create_expectation, gx

    frame = pd.read_parquet(work / "log")
    asset = gx.get_context(mode="ephemeral").data_sources.add_pandas("p").add_dataframe_asset("a")
    batch = asset.add_batch_definition_whole_dataframe("b").get_batch({"dataframe": frame})
    held = [create_expectation(item["type"], item["kwargs"]) for item in expectations()]
    suite = gx.ExpectationSuite(name="s", expectations=held)
    results = batch.validate(suite, result_format="BOOLEAN_ONLY").results
    return {
        _name(item.expectation_config.type, item.expectation_config.kwargs["column"]): bool(item.success)
        for item in results
    }


def _name(kind: str, column: str) -> str:
    return f"{kind}({column})"


def measure(way: str, folder: str) -> None:
    """Print seconds, peak memory and verdicts as JSON."""
    import_module(
        "components.validate.checks.great_expectations"
    )  # Great Expectations' import is in neither's time
    start = time.perf_counter()
    verdicts = (ours if way == "ours" else plain)(Path(folder))
    found = {
        "seconds": time.perf_counter() - start,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "verdicts": verdicts,
    }
    print(json.dumps(found))
