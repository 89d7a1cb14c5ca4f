"""The watch's rule: quiet about a champion that stays as good, soon about one that decays, strict about rollbacks."""

import math
from datetime import date, timedelta

import numpy as np
import pytest

from components.common.artifacts.evaluation import Errors, Evaluation, TaskMetrics
from components.common.artifacts.watch_record import Compared, OtherVersion
from components.watch.rule import WatchedDay, conclude, decay_evidence
from components.watch.sequential import Deviation, combine, e_process
from recap_model.config.steps.watch import WatchConfig
from tests.benchmarks.watch.__main__ import SCENARIOS, simulate
from tests.tiny import tiny_config

CONFIG = tiny_config()
FIRST = date(2026, 3, 1)


def measured(rce: float, ratio: float = 1.0, error: float | None = 0.3, positives: int = 500) -> TaskMetrics:
    errors = Errors(rce=error, calibration_ratio=None if error is None else 0.02)
    return TaskMetrics(rows=5000, positives=positives, rce=rce, calibration_ratio=ratio, error=errors)


def days_of(courses: dict[str, list[TaskMetrics]], others: list[Compared] | None = None) -> list[WatchedDay]:
    count = len(next(iter(courses.values())))
    return [
        WatchedDay(
            FIRST + timedelta(days=number),
            Evaluation(tasks={task: course[number] for task, course in courses.items()}),
            {"previous": OtherVersion(version="2", tasks={"like": others[number]})} if others else {},
        )
        for number in range(count)
    ]


def test_of_days_on_the_bound_the_evidence_is_one_on_average():
    """A martingale under the null: 20,000 champions whose day is on the bound, after 1, 4 and 8 days."""
    random = np.random.default_rng(0)
    draws = random.normal(0.0, 2.0, (20_000, 8))
    bounds = random.normal(0.0, 1.0, 20_000)
    values = np.array(
        [
            e_process([Deviation(draw + bound, 4.0) for draw in row], 4.0, 0.05, 1.0)[[0, 3, 7]]
            for row, bound in zip(draws[:2000], bounds[:2000], strict=True)
        ]
    )
    assert values.mean(axis=0) == pytest.approx([1.0, 1.0, 1.0], abs=0.25)
    assert (values.max(axis=1) >= 20).mean() <= 0.05


def test_the_evidence_of_one_day_is_the_closed_form_of_the_half_normal_mixture():
    """By numerical integration over the prior of the slope, which starts on the first day with half of the weight."""
    log_alpha = -2 * math.log(0.05)
    rho = 1 / (log_alpha + math.log(1 + log_alpha))
    slopes = np.linspace(0, 40, 400_001)
    prior = 2 * np.sqrt(rho / (2 * np.pi)) * np.exp(-rho * slopes**2 / 2)
    mixture = np.trapezoid(prior * np.exp(slopes * 3.0 - slopes**2 / 2), slopes)
    (found,) = e_process([Deviation(3.0, 1.0)], 1.0, 0.05)
    assert found == pytest.approx(0.5 * mixture + 0.5, rel=1e-4)


def test_the_mean_of_several_processes_says_no_more_than_all_of_them_together():
    processes = [np.array([1.0, 40.0]), np.array([1.0, 0.0])]
    assert combine(processes, [1.0, 1.0]).tolist() == [1.0, 20.0]
    assert combine(processes, [1.0, 0.25]).tolist() == [1.0, 32.0]


def test_champions_that_stay_as_good_are_seldom_reported_and_decayed_ones_soon():
    """Of the benchmark, fifty months each; its README has two hundred."""
    found = {
        scenario.name: [
            decay_evidence(days, reference, CONFIG).sufficient_after
            for reference, days in (simulate(scenario, CONFIG, seed) for seed in range(50))
        ]
        for scenario in (SCENARIOS[0], SCENARIOS[6], SCENARIOS[7])
    }
    good, broken, halved = found.values()
    assert sum(day is not None for day in good) <= 2
    assert np.median([day or 31 for day in broken]) <= 9
    assert np.median([day or 31 for day in halved]) <= 9


@pytest.mark.parametrize(
    ("like", "outcome", "words"),
    [
        (measured(10.0), "OK", "nothing speaks against it"),
        (measured(9.2), "OK", "nothing speaks against it"),
        (measured(4.0), "RETRAIN", "like: RCE below is beyond 9"),
        (measured(10.0, ratio=2.0), "RETRAIN", "like: predicted/observed above is beyond 1.25"),
        (measured(10.0, ratio=0.5), "RETRAIN", "like: predicted/observed below is beyond 0.8"),
        (measured(-90.0, positives=3), "OK", "evidence 1 of"),
        (measured(-90.0, error=None), "OK", "evidence 1 of"),
    ],
)
def test_a_first_day_is_enough_for_what_is_far_off(like: TaskMetrics, outcome: str, words: str):
    reference = Evaluation(tasks={"like": measured(10.0)})
    concluded = conclude(days_of({"like": [like]}), reference, CONFIG)
    assert (concluded.outcome, words in concluded.reason) == (outcome, True), concluded.reason


def test_evidence_once_sufficient_stays_so_when_better_days_follow():
    reference = Evaluation(tasks={"like": measured(10.0)})
    course = [measured(3.0)] + [measured(14.0)] * 20
    concluded = conclude(days_of({"like": course}), reference, CONFIG)
    assert concluded.outcome == "RETRAIN"
    assert concluded.decay.sufficient_after == 1
    assert concluded.decay.now < concluded.decay.needed


def test_a_version_without_an_evaluation_is_held_to_the_ratio_alone():
    days = days_of({"like": [measured(-50.0)]})
    assert {one.what for one in decay_evidence(days, None, CONFIG).hypotheses if one.task == "like"} == {
        "predicted/observed above",
        "predicted/observed below",
    }


@pytest.mark.parametrize(
    ("difference", "days", "decayed", "outcome"),
    [
        (4.0, 3, True, "ROLL BACK"),
        (4.0, 1, True, "RETRAIN"),  # the rows of one day
        (0.1, 3, True, "RETRAIN"),  # not beyond doubt
        (-4.0, 3, True, "RETRAIN"),
        (4.0, 3, False, "OK"),  # better, but the champion is as good as it was
    ],
)
def test_a_rollback_needs_a_decayed_champion_and_a_version_that_is_better_beyond_doubt(
    difference: float, days: int, decayed: bool, outcome: str
):
    reference = Evaluation(tasks={"like": measured(10.0)})
    course = [measured(3.0 if decayed else 10.0)] * days
    others = [Compared(gain=10.0, difference=difference, error=0.5)] * days
    assert conclude(days_of({"like": course}, others), reference, CONFIG).outcome == outcome


def test_only_objectives_are_watched():
    gate = CONFIG.evaluation.gate.model_copy(update={"objectives": ["reply"]})
    config = CONFIG.model_copy(update={"evaluation": CONFIG.evaluation.model_copy(update={"gate": gate})})
    found = decay_evidence(days_of({"like": [measured(1.0)], "reply": [measured(1.0)]}), None, config)
    assert {one.task for one in found.hypotheses} == {"reply"}


def test_bounds_of_the_ratio_contain_one():
    with pytest.raises(ValueError, match=r"calibration_ratio: \[1.1, 1.3\]: must contain 1"):
        WatchConfig(calibration_ratio=(1.1, 1.3))
