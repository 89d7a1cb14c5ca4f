"""Score candidate and champion on the same rows, measure both, and decide."""

import json
import logging
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

from components.common import registry
from components.common.artifacts.decision import DECISION_NAME, Anchor, DecidedAgainst, Decision
from components.common.artifacts.evaluation import METRICS_NAME, REPORT_NAME, SCORES_NAME, Evaluation
from components.common.artifacts.score_table import ScoreTable
from components.common.artifacts.snapshot import MANIFEST_NAME, Snapshot
from components.common.artifacts.validation_result import (
    ValidationResultFile,
    check_validated,
    read_validation_result,
)
from components.common.metrics.task_metrics import measure
from components.common.runtime.atomic_output import atomic_directory, atomic_file
from components.common.scoring.champion_adapter import ChampionError, ColumnMismatchError, ComparedModel
from components.common.scoring.score_test_set import score_test_set
from components.common.scoring.uncalibrated import UncalibratedPredictions
from components.evaluate.gate import decide, policy_digest
from components.evaluate.gate.comparison import is_better_than_anchor
from components.evaluate.list_examples import choose_examples
from components.evaluate.report.page import report_page
from recap_model.config import RecapConfig
from recap_model.data.dataset.manifest import DatasetManifest
from recap_model.file_digests import file_digest

log = logging.getLogger(__name__)


def evaluate_model(
    snapshot: str | Path,
    model: str | Path,
    test_set: str | Path,
    validated: str | Path,
    out: str | Path,
    report: str | Path | None = None,
) -> Decision:
    """Write ``metrics.json``, ``scores.parquet``, ``decision.json`` and ``report.html``; returns the decision.

    The decision is written whatever its outcome. A champion that cannot be loaded or compared with makes it ERROR;
    one that reads columns which the config no longer has makes it HOLD, for a person to approve.

    Args:
        snapshot: what resolve wrote; it names the champion.
        model: the calibrated model.
        test_set: of the same snapshot.
        validated: what validate wrote for it; the page shows its drift.
        out: folder for the evaluation.
        report: a second place for the page, where a pipeline's UI shows it.

    Raises:
        FileNotFoundError, ValueError: an input is missing, broken, or of another run.
    """
    frozen, config = Snapshot.read(snapshot)
    frozen = check_validated(validated, frozen)
    validation = read_validation_result(validated, frozen)
    manifest = DatasetManifest.read(test_set)
    if manifest.snapshot != frozen.digest:
        raise ValueError(
            f"{test_set}: prepared from another snapshot ({manifest.snapshot[:12]}); run prepare on this one"
        )
    with atomic_directory(out) as target:
        before = UncalibratedPredictions()
        scored = _score(model, test_set, frozen, config, target / SCORES_NAME, before)
        evaluation, curves = measure(scored.table, config)
        decision = _decide(evaluation, frozen, config, manifest, Path(model), scored, validation)
        examples = choose_examples(scored.table, config.evaluation.top_k)
        (target / METRICS_NAME).write_text(evaluation.model_dump_json(indent=1))
        (target / REPORT_NAME).write_text(
            report_page(
                decision,
                evaluation,
                curves,
                frozen,
                validation,
                config,
                examples,
                before.reliability(),
            )
        )
        (target / DECISION_NAME).write_text(decision.model_dump_json(indent=1))
        files = {path.name: file_digest(target, path.name) for path in sorted(target.iterdir())}
        content = {"format": "recap-evaluation/1", "snapshot": frozen.digest, "files": files}
        (target / MANIFEST_NAME).write_text(json.dumps(content, indent=1))
    if report is not None:
        with atomic_file(report) as page:
            shutil.copyfile(Path(out) / REPORT_NAME, page)
    log.info("outcome=%s reason=%r", decision.outcome, decision.reason)
    return decision


class _Scored(NamedTuple):
    """The score table, and why it lacks the champion's or the anchor's scores.

    ``champion_error``: one of them failed; ``column_mismatch`` and ``anchor_mismatch``: it reads columns that the
    rows lack.
    """

    table: ScoreTable
    champion_error: str | None = None
    column_mismatch: str | None = None
    anchor_mismatch: str | None = None


def _score(
    model: str | Path,
    test_set: str | Path,
    snapshot: Snapshot,
    config: RecapConfig,
    out: Path,
    before: UncalibratedPredictions,
) -> _Scored:
    if snapshot.champion is None:
        return _Scored(score_test_set(model, test_set, config, None, out, uncalibrated=before))
    name, version = config.registry.model_name, snapshot.champion.version
    anchor = snapshot.anchor.version if snapshot.anchor else version
    mismatch, read = None, version
    try:
        client = registry.connect(snapshot.tracking_uri)
        with tempfile.TemporaryDirectory() as folder:
            champion = registry.download(client, name, version, Path(folder) / "champion")
            earlier = None
            if anchor != version:
                read = anchor
                earlier_folder = registry.download(client, name, anchor, Path(folder) / "anchor")
                try:
                    earlier = ComparedModel(earlier_folder, config, "anchor")
                except ColumnMismatchError as error:
                    mismatch = f"version {anchor} of {name}: {error}"
                read = version
            scores = score_test_set(model, test_set, config, champion, out, earlier, before)
        now = registry.champion(client, name)
        if now is None or now.version != version:
            moved = f"version {now.version}" if now else "none"
            return _Scored(
                scores, f"version {version} of {name} was champion when the run began; now it is {moved}"
            )
        return _Scored(scores, anchor_mismatch=mismatch)
    except ColumnMismatchError as error:
        without_champion = score_test_set(model, test_set, config, None, out, uncalibrated=before)
        return _Scored(without_champion, column_mismatch=f"version {version} of {name}: {error}")
    except (registry.RegistryError, ChampionError) as error:
        without_champion = score_test_set(model, test_set, config, None, out, uncalibrated=before)
        return _Scored(without_champion, champion_error=f"version {read} of {name}: {error}")


def _decide(
    evaluation: Evaluation,
    snapshot: Snapshot,
    config: RecapConfig,
    manifest: DatasetManifest,
    model: Path,
    scored: _Scored,
    validation: ValidationResultFile,
) -> Decision:
    gate = config.evaluation.gate
    champion = snapshot.champion.version if snapshot.champion else None
    outcome, reason, rules = decide(
        evaluation,
        gate,
        list(config.tasks),
        champion,
        scored.champion_error,
        scored.column_mismatch,
        snapshot.anchor.version if snapshot.anchor else None,
        scored.anchor_mismatch,
        validation,
    )
    against = DecidedAgainst(name=config.registry.model_name, version=champion) if champion else None
    return Decision(
        outcome=outcome,
        reason=reason,
        rules=rules,
        champion=against,
        anchor=_anchor(evaluation, snapshot, config),
        candidate=file_digest(model, MANIFEST_NAME),
        test_data=manifest.fingerprint,
        snapshot=snapshot.digest,
        policy=policy_digest(gate),
        run_id=snapshot.run_id,
    ).seal()


def _anchor(evaluation: Evaluation, snapshot: Snapshot, config: RecapConfig) -> Anchor | None:
    """The anchor, and whether the candidate is better; not so where they could not be compared."""
    if snapshot.anchor is None or snapshot.champion is None:
        return None
    version = snapshot.anchor.version
    is_champion = version == snapshot.champion.version
    better = is_better_than_anchor(evaluation, list(config.tasks), config.evaluation.gate, is_champion)
    return Anchor(name=config.registry.model_name, version=version, better=better)
