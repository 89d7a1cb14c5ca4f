"""Simulate watched months of champions that stay as good and that decay, and print a table."""

import argparse
import math
from datetime import date, timedelta
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.common.artifacts.evaluation import Errors, Evaluation, TaskMetrics
from components.watch.rule import WatchedDay, decay_evidence
from recap_model.config import RecapConfig
from tests.tiny import tiny_config

DAYS, TASKS, RCE = 30, 5, 10.0
RCE_ERROR, RATIO_ERROR = 0.5, 0.03  # of a day of some 50,000 rows
_CANDIDATES = 3  # equally good, of which the one that looked best was promoted
_REPLICATES = 100  # of the bootstrap that estimates an error
_POSITIVES = 1000


class Scenario(NamedTuple):
    """A champion's true change from a day on: of the RCE in all or one task, and of predicted over observed.

    ``between_days`` multiplies the variation between days that the config states; ``degrees`` are those of Student's
    t, from which it is drawn; 0 for a normal one.
    """

    name: str
    rce_a_day: float = 0.0
    rce: float = 0.0
    log_ratio: float = 0.0
    one_task: bool = False
    from_day: int = 0
    between_days: float = 1.0
    degrees: int = 0


SCENARIOS = (
    Scenario("stays as good"),
    Scenario("stays as good, days by Student's t with 4 degrees", degrees=4),
    Scenario("stays as good, days vary twice as much as stated", between_days=2.0),
    Scenario("loses the allowed point, all tasks", rce=-1.0),
    Scenario("drift: 0.2 points a day, all tasks", rce_a_day=-0.2),
    Scenario("a broken feature: 4 points, all tasks, from day 8", rce=-4.0, from_day=7),
    Scenario("a broken feature: 8 points, one task, from day 8", rce=-8.0, one_task=True, from_day=7),
    Scenario("halved labels: ratio 2, 3 points, one task, from day 8", -0.0, -3.0, math.log(2), True, 7),
)


def simulate(scenario: Scenario, config: RecapConfig, seed: int) -> tuple[Evaluation, list[WatchedDay]]:
    """The evaluation at promotion, and those of a month's days."""
    random = np.random.default_rng([seed, SCENARIOS.index(scenario)])
    tasks, watch = list(config.tasks), config.watch
    looks = RCE + random.normal(0.0, math.hypot(RCE_ERROR, watch.rce_variation), (_CANDIDATES, TASKS))
    best = looks[looks.mean(axis=1).argmax()]
    reference = _evaluation(tasks, best, np.zeros(TASKS), random)
    days = []
    for number in range(DAYS):
        hit = np.zeros(TASKS)
        hit[: 1 if scenario.one_task else TASKS] = number >= scenario.from_day
        elapsed = max(0, number - scenario.from_day + 1)
        means = RCE + hit * (scenario.rce + scenario.rce_a_day * elapsed)
        # Half of the variance between days is that of all tasks together.
        spread = scenario.between_days / math.sqrt(2)
        rce = means + watch.rce_variation * spread * (
            _draw(random, scenario) + _draw(random, scenario, TASKS)
        )
        ratio = hit * scenario.log_ratio + watch.ratio_variation * spread * (
            _draw(random, scenario) + _draw(random, scenario, TASKS)
        )
        measured = rce + random.normal(0.0, RCE_ERROR, TASKS), ratio + random.normal(0.0, RATIO_ERROR, TASKS)
        evaluation = _evaluation(tasks, *measured, random)
        days.append(WatchedDay(date(2026, 3, 1) + timedelta(days=number), evaluation, {}))
    return reference, days


def _draw(random: np.random.Generator, scenario: Scenario, size: int = 1) -> NDArray[np.float64]:
    if not scenario.degrees:
        return random.normal(size=size)
    return random.standard_t(scenario.degrees, size) / math.sqrt(scenario.degrees / (scenario.degrees - 2))


def _evaluation(
    tasks: list[str], rce: NDArray[np.float64], log_ratio: NDArray[np.float64], random: np.random.Generator
) -> Evaluation:
    estimated = np.sqrt(random.chisquare(_REPLICATES - 1, (2, len(tasks))) / (_REPLICATES - 1))
    return Evaluation.model_construct(
        tasks={
            task: TaskMetrics.model_construct(
                positives=_POSITIVES,
                rce=float(rce[number]),
                calibration_ratio=math.exp(log_ratio[number]),
                error=Errors.model_construct(
                    rce=RCE_ERROR * estimated[0, number],
                    calibration_ratio=RATIO_ERROR * estimated[1, number] * math.exp(log_ratio[number]),
                ),
            )
            for number, task in enumerate(tasks)
        },
        values={},
    )


def weekly_alarm(days: list[WatchedDay], reference: Evaluation, config: RecapConfig) -> int | None:
    """The day of the first alarm of a test on each week's mean at the false alarm rate, over all hypotheses."""
    watch = config.watch
    critical = NormalDist().inv_cdf(1.0 - watch.false_alarm_rate / (3 * TASKS))
    low, high = map(math.log, watch.calibration_ratio)
    for end in range(7, DAYS + 1, 7):
        for task in config.tasks:
            week = [day.evaluation.tasks[task] for day in days[end - 7 : end]]
            then = reference.tasks[task]
            rce = np.mean([one.rce for one in week])
            day_variance = RCE_ERROR**2 + watch.rce_variation**2
            error = math.sqrt(day_variance * (1 / 7 + 1))
            ratio = np.mean([math.log(one.calibration_ratio or 1.0) for one in week])
            ratio_error = math.hypot(RATIO_ERROR, watch.ratio_variation) / math.sqrt(7)
            beyond = (
                (float(then.rce or 0.0) - watch.max_rce_loss - rce) / error,
                (ratio - high) / ratio_error,
                (low - ratio) / ratio_error,
            )
            if max(beyond) > critical:
                return end
    return None


def main() -> None:
    """So many champions of each scenario."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.watch")
    parser.add_argument("--champions", type=int, default=1000)
    count = parser.parse_args().champions
    config = tiny_config(tasks={f"task_{number}": {"score_weight": 1.0} for number in range(TASKS)})
    print("| champion | reported in 30 days | days to the report | weekly test: reported | days |")
    print("|---|---|---|---|---|")
    for scenario in SCENARIOS:
        ours, weekly = [], []
        for seed in range(count):
            reference, days = simulate(scenario, config, seed)
            ours.append(decay_evidence(days, reference, config).sufficient_after)
            weekly.append(weekly_alarm(days, reference, config))
        cells = [cell for found in (ours, weekly) for cell in _cells(found, scenario.from_day)]
        print(f"| {scenario.name} | {' | '.join(cells)} |", flush=True)


def _cells(found: list[int | None], from_day: int) -> tuple[str, str]:
    """The fraction reported, and of those after the change, the median and the 90 % quantile of the days to it."""
    waits = [day - from_day for day in found if day is not None and day > from_day]
    rate = sum(day is not None for day in found) / len(found)
    if not waits:
        return f"{rate:.1%}", ""
    return f"{rate:.1%}", f"{np.median(waits):.0f}, {np.quantile(waits, 0.9):.0f}"


if __name__ == "__main__":
    main()
