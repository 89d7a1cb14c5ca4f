"""The reference of a comparison: the champion's profile, which resolve froze beside the snapshot."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from components.common.artifacts.snapshot import BASELINE_NAME, Snapshot
from components.validate.profile.profile import Profile


@dataclass(frozen=True)
class Reference:
    """A profile to compare with, and its name; without a profile, the reason."""

    name: str
    profile: Profile | None = None
    reason: str = ""


def read_baseline(folder: str | Path, snapshot: Snapshot) -> Reference:
    """The champion's profile, as resolve copied it.

    Raises ValueError if the copy is not the one that resolve wrote.
    """
    if snapshot.champion is None:
        return Reference("the champion", reason="there is no champion yet")
    name, baseline = f"version {snapshot.champion.version}", snapshot.baseline
    if baseline is None:
        return Reference(name, reason="the snapshot was made without one; run resolve again")
    if baseline.sha256 is None:
        return Reference(name, reason=baseline.missing)
    path = Path(folder) / BASELINE_NAME
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != baseline.sha256:
        raise ValueError(f"{path}: lost or changed since resolve wrote it; run resolve again")
    try:
        return Reference(name, Profile.read(path))
    except ValueError as error:
        reason = str(error).removeprefix(f"{path}: ")
        return Reference(name, reason=f"its profile cannot be compared with: {reason}")
