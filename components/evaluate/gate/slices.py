"""Rules of the gate on slices: none may be significantly worse than the champion's by more than is allowed."""

from collections.abc import Iterator
from statistics import NormalDist

from components.common.artifacts.decision import Rule
from components.common.artifacts.evaluation import Evaluation
from components.evaluate.gate.comparison import shared_tasks
from components.evaluate.gate.rule import describe_p_value, measured_task, undefined_in_brackets
from recap_model.config.steps.evaluation import GateConfig


def slice_rules(evaluation: Evaluation, judged: list[str], gate: GateConfig) -> Iterator[Rule]:
    """Hold where a slice is behind the champion by significantly more than is allowed, over all slices together.

    Each task in each slice with enough positives is tested against the difference being at least
    ``-max_slice_rce_loss``; Holm's step-down procedure (Scandinavian Journal of Statistics, 1979) keeps the chance
    of any false alarm among all of them under 1 - ``confidence``.
    """
    if gate.max_slice_rce_loss is None:
        return
    shared = shared_tasks(evaluation, judged)
    bound = f">= {-gate.max_slice_rce_loss:g}"
    tested: list[tuple[float, str, str, float, str]] = []
    for name, inside in evaluation.slices.items():
        for task in shared:
            measured = measured_task(inside, task)
            if (
                inside.rows < (inside.min_rows or gate.min_slice_rows)
                or measured.positives < gate.min_positives
            ):
                continue
            difference, error = measured.gain_change
            if difference is None or not error:
                same = difference == 0.0
                words = f"slice {name}, {task}: {measured.gain_name} difference "
                words += "is 0" if same else f"cannot be computed{undefined_in_brackets(measured)}"
                status = "pass" if same else "error"
                yield Rule(name="slice_harm", task=task, slice=name, bound=bound, status=status, words=words)
                continue
            p_value = NormalDist().cdf((difference + gate.max_slice_rce_loss) / error)
            tested.append((p_value, name, task, difference, measured.gain_name))
    tested.sort()
    significant = True
    for rank, (p_value, name, task, difference, gain) in enumerate(tested):
        level = (1.0 - gate.confidence) / (len(tested) - rank)
        significant = significant and p_value <= level
        words = (
            f"slice {name}, {task}: {gain} difference is {difference:.4g}; allowed is {bound}; "
            f"{describe_p_value(p_value)} for a loss beyond that, significant at {level:.2g} (Holm; "
            "gate.max_slice_rce_loss)"
        )
        yield Rule(
            name="slice_harm",
            task=task,
            slice=name,
            value=difference,
            bound=bound,
            status="fail" if significant else "pass",
            words=words,
        )
