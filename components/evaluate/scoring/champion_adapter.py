"""The champion's model, and what it reads of rows that were built for the candidate's config."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from recap_model import load_model
from recap_model.config import RecapConfig
from recap_model.config.data.features import DENSE_GROUPS, FeaturesConfig, ListColumn
from recap_model.config.reading.errors import first_reason
from recap_model.data.dataset.batch import RecapBatch

_NAMED = 3  # columns that a message names


class ChampionError(ValueError):
    """The champion cannot be compared with: it does not load, or does not score."""


class OtherColumnsError(ChampionError):
    """The champion is sound, but reads columns that this config does not have, so that no rows are of both."""


class Rival:
    """The champion, scored on the candidate's rows, of which it reads its own columns by their names.

    Args:
        folder: its model.
        config: the candidate's, by which the rows were built.

    Raises:
        ChampionError: it cannot be loaded.
        OtherColumnsError: it reads a column that ``config`` does not have, or computes otherwise.
    """

    def __init__(self, folder: Path, config: RecapConfig):
        try:
            self._model = load_model(folder)
        except (ValueError, OSError, KeyError) as error:
            raise ChampionError(f"the champion cannot be loaded: {first_reason(error)}") from None
        theirs = self._model.config
        self._view = _view(theirs.features, config.features) if isinstance(theirs, RecapConfig) else None

    def scores(self, batch: RecapBatch, tasks: list[str]) -> tuple[Tensor, Tensor]:
        """Its probabilities of the candidate's tasks, NaN for those that it does not have, and its score.

        Raises:
            ChampionError: it cannot read the rows, or what it says of them is not finite.
        """
        try:
            outputs = self._model(self._view(batch) if self._view else batch)
        except (ValueError, RuntimeError, IndexError) as error:
            raise ChampionError(f"the champion cannot read the test rows: {first_reason(error)}") from None
        theirs, known = outputs["calibrated_probabilities"], self._model.tasks
        if not theirs[:, [known.index(task) for task in tasks if task in known]].isfinite().all():
            raise ChampionError("the champion's probabilities of the test rows are not finite")
        columns = [
            theirs[:, known.index(task)] if task in known else torch.full((len(batch),), torch.nan)
            for task in tasks
        ]
        return torch.stack(columns, dim=1), outputs["score"]


def _view(theirs: FeaturesConfig, ours: FeaturesConfig) -> Callable[[RecapBatch], RecapBatch]:
    """What turns a batch of our groups into one of theirs."""
    places = {group: _places(group, theirs, ours) for group in DENSE_GROUPS if theirs.group_columns(group)}
    as_long = theirs.longest_list == ours.longest_list
    _refuse("sparse", [name for name in theirs.sparse if name not in ours.sparse or not as_long])

    def view(batch: RecapBatch) -> RecapBatch:
        dense = batch.tensors()
        groups = {
            group: dense[group] if chosen is None else dense[group][:, chosen]
            for group, chosen in places.items()
        }
        lists = {name: batch.sparse[name] for name in theirs.sparse} if batch.sparse else None
        return RecapBatch(
            **groups, sparse=lists or None, sequences=batch.sequences, history_row=batch.history_row
        )

    return view


def _places(group: str, theirs: FeaturesConfig, ours: FeaturesConfig) -> list[int] | None:
    """Where in our group the columns of theirs are; None where the groups are the same."""
    names, here = theirs.group_columns(group), ours.group_columns(group)
    if isinstance(getattr(theirs, group), ListColumn) or isinstance(getattr(ours, group), ListColumn):
        _refuse(group, names if getattr(theirs, group) != getattr(ours, group) else [])
        return None
    changed = [name for name in names if theirs.derived.get(name) != ours.derived.get(name)]
    _refuse(group, [name for name in names if name not in here or name in changed])
    return None if names == here else [here.index(name) for name in names]


def _refuse(group: str, names: list[str]) -> None:
    if names:
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        raise OtherColumnsError(
            f"the champion reads {', '.join(names[:_NAMED])}{more} of features.{group}, which this config does not "
            "have or has otherwise, so the two cannot be compared; a person may approve"
        )
