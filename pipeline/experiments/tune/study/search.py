"""Propose the next point of a study by Optuna, from the trials that its runs record."""

import random
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.experiments.tune.space.space import Point, Space
from pipeline.experiments.tune.study.trial_runs import TrialRecord

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.trial import FrozenTrial

POINTS = 8
"""Parts of a training, at whose ends held-out rows are evaluated; the last one is the trial's result."""

_START_TRIALS = 8  # before the sampler models the results
_START_FRACTION = 0.3  # of the dimensions that change in one of them
_PRUNE_FROM_TRIAL = 5  # complete trials whose median a trial is held against
_PRUNE_FROM_POINT = 2  # an eighth of a training says little


def propose(space: Space, records: Sequence[TrialRecord], number: int, point: Point | None = None) -> "Trial":
    """The next trial, in a study in memory that has all recorded trials; at ``point`` if it is given.

    The first points are the current config with some settings drawn at random, since a config drawn at random is far
    worse than a drafted one. Later points come from a multivariate TPE sampler (Bergstra et al., NeurIPS 2011), which
    takes running trials of other processes as bad, and trials that fail the gate's non-inferiority as infeasible.
    Random numbers follow from the trial's number. A trial is pruned where its held-out gain is under the others'
    median.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.create_study(
            direction="maximize",
            sampler=optuna.samplers.TPESampler(
                n_startup_trials=_START_TRIALS, multivariate=True, constant_liar=True, seed=number
            ),
            pruner=optuna.pruners.MedianPruner(
                n_startup_trials=_PRUNE_FROM_TRIAL, n_warmup_steps=_PRUNE_FROM_POINT
            ),
        )
        study.add_trials([as_frozen_trial(space, record) for record in records])
        if point is None and sum(one.state in ("complete", "pruned") for one in records) < _START_TRIALS:
            point = _near_current(space, number)
        if point is not None:
            study.enqueue_trial(point)
        return study.ask(space.distributions())


def _near_current(space: Space, number: int) -> Point:
    """The current config with some settings, one at least, drawn at random."""
    import optuna

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=number))
    drawn = study.ask(space.distributions()).params
    chance = random.Random(number)
    changed = {name for name in drawn if chance.random() < _START_FRACTION}
    changed |= {chance.choice(sorted(drawn))}
    return {name: drawn[name] if name in changed else value for name, value in space.current_point.items()}


def as_frozen_trial(space: Space, record: TrialRecord) -> "FrozenTrial":
    """A record as Optuna has trials."""
    from optuna.trial import TrialState, create_trial

    states = {
        "running": TrialState.RUNNING,
        "complete": TrialState.COMPLETE,
        "pruned": TrialState.PRUNED,
        "failed": TrialState.FAIL,
    }
    shortfall = record.metrics.get("shortfall")
    return create_trial(
        state=states[record.state],
        value=record.change if record.state == "complete" else None,
        params=record.point,
        distributions=space.distributions(),
        intermediate_values=dict(record.held_out),
        constraints=None if shortfall is None else {"non_inferior": shortfall},
    )
