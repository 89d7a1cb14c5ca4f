"""Score rows that were prepared for the candidate's config by the champion's model, or the anchor's."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from recap_model import load_model
from recap_model.config import RecapConfig
from recap_model.config.data.features import DENSE_GROUPS, FeaturesConfig, ListColumn
from recap_model.config.data.sequences import LENGTH
from recap_model.config.model.network import ModelConfig
from recap_model.config.reading.errors import first_reason
from recap_model.data.dataset.batch import RecapBatch

_MAX_NAMED = 3  # columns that a message lists


class ChampionError(ValueError):
    """A version cannot be compared with: it does not load, or does not score."""


class ColumnMismatchError(ChampionError):
    """The version loads, but reads columns that this config does not have, so that no rows suit both models."""


class ComparedModel:
    """A registered version's model on the candidate's rows, from which it selects its columns by name.

    Args:
        folder: its model.
        config: the candidate's, by which the rows were prepared.
        role: how messages call it.

    Raises:
        ChampionError: it cannot be loaded.
        ColumnMismatchError: it reads a column that ``config`` does not have, or that is computed differently.
    """

    def __init__(self, folder: Path, config: RecapConfig, role: str = "champion"):
        self._role = role
        try:
            self._model = load_model(folder)
        except (ValueError, OSError, KeyError) as error:
            raise ChampionError(f"the {role} cannot be loaded: {first_reason(error)}") from None
        trained_with = self._model.config
        self._select: Callable[[RecapBatch], RecapBatch] | None = None
        if isinstance(trained_with, RecapConfig):
            self._select = _column_selection(trained_with.features, config.features, role)
        # A task of the same name and another kind is another task.
        self._comparable = {
            task: number
            for number, task in enumerate(self._model.tasks)
            if task in config.tasks and config.tasks[task].kind == _kind(trained_with, task)
        }

    def scores(self, batch: RecapBatch, tasks: list[str]) -> tuple[Tensor, Tensor]:
        """Probabilities of the candidate's tasks, NaN for those that the champion does not have, and its score.

        Raises:
            ChampionError: it cannot read the rows, or one of its outputs is not finite.
        """
        try:
            outputs = self._model(self._select(batch) if self._select else batch)
        except (ValueError, RuntimeError, IndexError) as error:
            raise ChampionError(
                f"the {self._role} cannot read the test rows: {first_reason(error)}"
            ) from None
        probabilities, known = outputs["calibrated_probabilities"], self._comparable
        if not probabilities[:, [known[task] for task in tasks if task in known]].isfinite().all():
            raise ChampionError(f"the {self._role}'s probabilities of the test rows are not finite")
        columns = [
            probabilities[:, known[task]] if task in known else torch.full((len(batch),), torch.nan)
            for task in tasks
        ]
        return torch.stack(columns, dim=1), outputs["score"]


def _kind(config: RecapConfig | ModelConfig, task: str) -> str:
    return config.tasks[task].kind if isinstance(config, RecapConfig) else "binary"


def _column_selection(
    champion: FeaturesConfig, candidate: FeaturesConfig, role: str
) -> Callable[[RecapBatch], RecapBatch]:
    """A function from a batch of the candidate's columns to one of the champion's."""
    positions = {
        group: _column_positions(group, champion, candidate, role)
        for group in DENSE_GROUPS
        if champion.group_columns(group)
    }
    same_length = champion.longest_list == candidate.longest_list
    _refuse_columns(
        role,
        "sparse",
        [name for name in champion.sparse if name not in candidate.sparse or not same_length],
    )
    sequences = champion.all_sequences()
    _refuse_columns(role, "sequences", [name for name in sequences if _differs(name, champion, candidate)])

    def select(batch: RecapBatch) -> RecapBatch:
        dense = batch.tensors()
        groups = {
            group: dense[group] if chosen is None else dense[group][:, chosen]
            for group, chosen in positions.items()
        }
        lists = {name: batch.sparse[name] for name in champion.sparse} if batch.sparse else None
        known = batch.sequences or {}
        histories = {
            name: {key: known[name][key] for key in (LENGTH, *sequence.columns)}
            for name, sequence in sequences.items()
            if name in known
        }
        return RecapBatch(
            **groups, sparse=lists or None, sequences=histories or None, history_row=batch.history_row
        )

    return select


def _differs(name: str, champion: FeaturesConfig, candidate: FeaturesConfig) -> bool:
    """Whether the candidate's sequence lacks something of the champion's, or is made otherwise."""
    for sequences in ("sequences", "derived_sequences"):
        theirs, ours = getattr(champion, sequences).get(name), getattr(candidate, sequences).get(name)
        if theirs is not None:
            if ours is None or any(ours.columns.get(key) != column for key, column in theirs.columns.items()):
                return True
            return bool(ours.model_copy(update={"columns": theirs.columns}) != theirs)
    return False


def _column_positions(
    group: str, champion: FeaturesConfig, candidate: FeaturesConfig, role: str
) -> list[int] | None:
    """Positions of the champion's columns in the candidate's group; None where the groups are the same."""
    names, available = champion.group_columns(group), candidate.group_columns(group)
    if isinstance(getattr(champion, group), ListColumn) or isinstance(getattr(candidate, group), ListColumn):
        _refuse_columns(role, group, names if getattr(champion, group) != getattr(candidate, group) else [])
        return None
    changed = [name for name in names if champion.derived.get(name) != candidate.derived.get(name)]
    _refuse_columns(role, group, [name for name in names if name not in available or name in changed])
    return None if names == available else [available.index(name) for name in names]


def _refuse_columns(role: str, group: str, names: list[str]) -> None:
    if names:
        more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
        raise ColumnMismatchError(
            f"the {role} reads {', '.join(names[:_MAX_NAMED])}{more} of features.{group}, which this config does "
            "not have or defines differently, so the two cannot be compared; a person may approve"
        )
