"""The result of a study: the best trial's config as a text and a diff, and the page; both kept in the study's run."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.common.runtime.atomic_output import atomic_file
from pipeline.experiments.tune.result.report import Cost, describe_result, study_page
from pipeline.experiments.tune.result.winner import choose_winner
from pipeline.experiments.tune.result.yaml_edits import edit_config
from pipeline.experiments.tune.space.space import Space, describe_changes
from pipeline.experiments.tune.study.trial_runs import TrialRecord, TrialRuns

CONFIG_NAME, PAGE_NAME = "tuned.yaml", "report.html"


def conclude(
    space: Space, records: Sequence[TrialRecord], runs: TrialRuns, text: str, name: str, folder: Path
) -> dict[str, Any]:
    """Choose the winner, write its config and the page into ``folder``, and log both to the study's run.

    Args:
        text: the current config as it is written.
        name: of its file.

    Returns:
        The result as plain values; ``winner`` and ``config`` are None if no trial is better.
    """
    gate = space.config.evaluation.gate
    winner = choose_winner(records, gate.confidence)
    cost = Cost.of(records)
    tuned, diff, kept = folder / CONFIG_NAME, "", True
    changed: dict[str, str] = {}
    if winner is not None:
        config, changes = space.at(winner.record.point)
        changed = describe_changes(changes)
        edited, kept = edit_config(text, changes, config)
        with atomic_file(tuned) as file:
            file.write_text(edited)
        lines = (text.splitlines(keepends=True), edited.splitlines(keepends=True))
        diff = "".join(difflib.unified_diff(*lines, name, CONFIG_NAME, n=1))
    facts = {
        "config": name,
        "study": runs.key,
        "time, all trials": f"{cost.total_s:,.0f} s",
        "training": f"{cost.train_s:,.0f} s",
        "overhead a trial": f"{cost.overhead_s:.2f} s",
    }
    page = folder / PAGE_NAME
    with atomic_file(page) as file:
        file.write_text(study_page(space, records, winner, diff, facts))
    files = [str(page), *([str(tuned)] if winner else [])]
    measured = {"trials": float(len(records)), "overhead_s": cost.overhead_s}
    runs.conclude({**measured, **({"best_change": winner.change} if winner else {})}, files)
    states = ("complete", "pruned", "failed", "running")
    return {
        "study": str(folder),
        "run_id": runs.run_id,
        "trials": {state: sum(one.state == state for one in records) for state in states},
        "result": describe_result(records, winner, gate),
        "winner": winner
        and {
            "trial": winner.record.number,
            "change": winner.change,
            "interval": winner.interval,
            "p_value": winner.p_value,
            "changes": changed,
        },
        "config": str(tuned) if winner else None,
        "comments_kept": kept,
        "diff": diff,
        "report": str(page),
        "seconds": {"total": cost.total_s, "train": cost.train_s, "overhead_a_trial": cost.overhead_s},
    }
