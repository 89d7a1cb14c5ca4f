"""Replay the gate on stored scores under another policy."""

from pathlib import Path

from components.common.artifacts.decision import DECISION_NAME, Decision, Outcome, Rule
from components.common.artifacts.evaluation import SCORES_NAME
from components.common.artifacts.score_table import read_scores
from components.common.artifacts.validation_result import RESULT_NAME, ValidationResultFile
from components.common.metrics.task_metrics import measure
from components.evaluate.gate.decide import decide
from recap_model.config import RecapConfig
from recap_model.json_files import read_model


def replay_gate(scores: str | Path, config: RecapConfig) -> tuple[Outcome, str, list[Rule]]:
    """Measure a score table again and decide by the policy of a config; no model is needed, and nothing is written.

    Where the champion could not be compared with, which the decision beside the table says, it cannot be here.

    Args:
        scores: ``scores.parquet`` of an evaluation, or the evaluation's folder.
        config: whose ``evaluation`` section decides; its tasks and slices must be those of the table.

    Returns:
        The outcome, one sentence on why, and each rule as it was applied.

    Raises:
        FileNotFoundError, ValueError: the table does not exist, is not a score table, lacks a task or a slice, or
            holds an invalid label, weight or probability.
    """
    path = Path(scores)
    table = read_scores(path / SCORES_NAME if path.is_dir() else path, config)
    evaluation, _ = measure(table, config)
    tasks, gate = list(config.tasks), config.evaluation.gate
    beside = table.path.parent
    # Of the run whose folder the scores lie in; without it a rule on leaks knows the metrics only.
    validated = beside.resolve().parent.parent / "validate" / "validated" / RESULT_NAME
    validation = read_model(validated, ValidationResultFile, "validate") if validated.is_file() else None
    decided = Decision.read(beside) if (beside / DECISION_NAME).is_file() else None
    if "champion" in table.models:
        champion = decided.champion.version if decided and decided.champion else "of the stored scores"
        anchor = decided.anchor.version if decided and decided.anchor else champion
        mismatch = None if "anchor" in table.models else f"the scores of version {anchor} are not stored"
        return decide(
            evaluation,
            gate,
            tasks,
            champion,
            anchor=anchor,
            anchor_mismatch=mismatch,
            validation=validation,
        )
    if decided is None or decided.champion is None:
        return decide(evaluation, gate, tasks, None, validation=validation)
    words = {rule.name: rule.words for rule in decided.rules}
    mismatch = words.get("champion_columns")
    error = None if mismatch else words.get("champion", "the champion's scores are not stored")
    return decide(evaluation, gate, tasks, decided.champion.version, error, mismatch, validation=validation)
