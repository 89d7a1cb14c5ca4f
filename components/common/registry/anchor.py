"""The anchor of the gate: an earlier champion that candidates may not be worse than, besides the champion.

Each promotion of a model that is no worse may lose up to the margin. Over many promotions the losses add up, which
non-inferiority trials call biocreep (D'Agostino, Massaro and Sullivan, Statistics in Medicine 22(2), 2003, section
3.1). Their remedy is to compare with the best active control. A point estimate does not tell which that is: of models
that worsen slowly, every second one seems better than the one before. So the anchor is the last champion that was
*significantly* better than the anchor of its time.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from components.common.artifacts.snapshot import Champion
from components.common.registry.promotion.promotion_log import Promotion, read_promotions
from components.common.registry.versions import BETTER_TAG, OUTCOME_TAG, get_version, versions

if TYPE_CHECKING:
    from mlflow import MlflowClient


def find_anchor(client: "MlflowClient", name: str, champion: Champion, last: int) -> Champion:
    """Find the anchor among the ``last`` champions that still exist.

    Raises:
        RegistryError: the registry does not answer, or its promotion log was edited.
    """
    tags = {str(version.version): version.tags for version in versions(client, name)}
    version = choose_anchor(read_promotions(client, name), tags, champion.version, last)
    if version == champion.version:
        return champion
    return Champion(version=version, run_id=get_version(client, name, version).run_id or "")


def choose_anchor(
    moves: Iterable[Promotion], tags: Mapping[str, Mapping[str, str]], champion: str, last: int
) -> str:
    """Choose the anchor: a pure function of what the registry holds.

    It is the newest of the ``last`` champions that was significantly better than the anchor of its time
    (``BETTER_TAG``), or that a person approved although the gate held it, which sets a new standard; else the oldest
    of them. A rollback ends the reign of the champions that it went back over. If the promotion log does not lead to
    the champion, because its alias was set outside Recap, the anchor is the champion.

    Args:
        moves: all promotions, the oldest first.
        tags: of each version that exists.
        champion: the version that is champion.
    """
    champions: list[str] = []
    approved: set[str] = set()
    for move in moves:
        if move.is_approval:
            approved.add(move.to)
        if move.is_rollback and move.to in champions:
            del champions[champions.index(move.to) + 1 :]
        else:
            champions = [version for version in champions if version != move.to] + [move.to]
    if not champions or champions[-1] != champion:
        return champion
    recent = [version for version in champions if version in tags][-last:]
    for version in reversed(recent):
        overruled = version in approved and tags[version].get(OUTCOME_TAG) != "PROMOTE"
        if overruled or tags[version].get(BETTER_TAG) == "yes":
            return version
    return recent[0] if recent else champion
