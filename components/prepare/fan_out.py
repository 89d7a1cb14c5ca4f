"""Fan-out of prepare over pods: each reads a group of the log's files into parts, and one joins the parts."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from pyarrow.fs import FileSystem, FileType
from pydantic import NonNegativeInt, PositiveInt

from components.common.artifacts.snapshot import Snapshot
from components.common.artifacts.validation_result import check_validated
from components.common.runtime.atomic_output import atomic_directory
from components.common.storage.file_groups import split_files
from components.common.storage.parquet import count_rows, digest, open_root
from components.prepare.prepare import folder_beside, join, plan, write_sets
from components.prepare.read_files import Gathered
from components.prepare.sampling import NegativeSampler
from components.prepare.shard_parts import Part, write_parts
from components.prepare.split import SPLITS
from components.prepare.statistics import StatisticsBuilder
from recap_model.config import RecapConfig, StrictModel
from recap_model.data.dataset.manifest import MANIFEST_NAME, DatasetManifest
from recap_model.json_files import read_model

_GATHERED_NAME = "gathered.npz"


class GroupManifest(StrictModel):
    """The manifest of a group's parts, written last.

    Attributes:
        snapshot: its digest.
        rows_root: root of the parts, with a folder for each set; a local path is relative to the manifest's folder.
        files: its parts, by ``<set>/<name>``.
    """

    snapshot: str
    group: NonNegativeInt
    groups: PositiveInt
    rows_root: str
    files: dict[str, Part]

    @classmethod
    def read(cls, folder: Path) -> "GroupManifest":
        """Read and check a manifest. Raises FileNotFoundError or ValueError, which name it."""
        manifest = read_model(folder / MANIFEST_NAME, cls, "the group's step")
        root = manifest.rows_root
        return manifest.model_copy(update={"rows_root": root if "://" in root else str(folder / root)})


def prepare_group(
    snapshot: str | Path,
    validated: str | Path,
    out: str | Path,
    group: int,
    groups: int,
    rows_root: str | None = None,
) -> None:
    """Read one of ``groups`` groups of the log's files into parts of the sets.

    With fewer files than groups, a group may be empty.

    Args:
        snapshot, validated: as of `prepare_datasets`.
        out: folder for the group's manifest and statistics.
        group: its number, from 0.
        rows_root: URI (s3://, gs://) that the parts are streamed to; None for a folder beside ``out``.

    Raises:
        FileNotFoundError, ValueError: an input is missing, of another run, or cannot be read as the config says.
    """
    if not 0 <= group < groups:
        raise ValueError(f"group {group} of {groups}: groups are numbered from 0 to {groups - 1}")
    frozen, config = Snapshot.read(snapshot)
    frozen = check_validated(validated, frozen)
    out = Path(out)
    with ExitStack() as stack:
        folder = stack.enter_context(atomic_directory(out))
        root = rows_root or folder_beside(out, stack)
        roots = {split: f"{root}/{split}" for split in SPLITS}
        if rows_root is None:
            for part_root in roots.values():
                Path(part_root).mkdir()
        gathered = Gathered(NegativeSampler(config), StatisticsBuilder(config))
        parts: dict[str, Part] = {}
        for own in split_files(frozen, groups)[group : group + 1]:
            gathered, parts = write_parts(plan(frozen, config), own, roots)
        manifest = GroupManifest(
            snapshot=frozen.digest,
            group=group,
            groups=groups,
            rows_root=rows_root or f"../{out.name}.rows",
            files=parts,
        )
        state = gathered.statistics.state() | {"counts": gathered.sampler.counts}
        np.savez(folder / _GATHERED_NAME, allow_pickle=False, **state)
        (folder / MANIFEST_NAME).write_text(manifest.model_dump_json(indent=1))


def join_groups(
    snapshot: str | Path,
    parts: Sequence[str | Path],
    train_out: str | Path,
    calibration_out: str | Path,
    test_out: str | Path,
    rows_roots: Mapping[str, str | None] | None = None,
) -> dict[str, DatasetManifest]:
    """Join all groups' parts to the three sets; the output is identical to that of `prepare_datasets`.

    The parts are kept, so that this can be repeated.

    Args:
        parts: what `prepare_group` wrote for each group, in any order.

    Raises:
        FileNotFoundError, ValueError: a group is missing, of another snapshot, or has lost a part; and as
            `prepare_datasets`.
    """
    frozen, config = Snapshot.read(snapshot)
    frozen = count_rows(frozen)
    folders = [Path(part) for part in parts]
    read = sorted(((GroupManifest.read(folder), folder) for folder in folders), key=lambda one: one[0].group)
    manifests = [manifest for manifest, _ in read]
    _check(manifests, frozen)
    gathered = [_restored(folder, config) for _, folder in read]
    for later in gathered[1:]:
        gathered[0].merge(later)
    outs = dict(zip(SPLITS, (Path(train_out), Path(calibration_out), Path(test_out)), strict=True))
    sources = {split: [f"{manifest.rows_root}/{split}" for manifest in manifests] for split in SPLITS}
    return write_sets(
        frozen,
        config,
        outs,
        rows_roots,
        lambda roots: (join(frozen, config, sources, roots, keep=True), gathered[0]),
    )


def _check(manifests: Sequence[GroupManifest], snapshot: Snapshot) -> None:
    groups = manifests[0].groups
    for manifest in manifests:
        if manifest.snapshot != snapshot.digest:
            raise ValueError(
                f"group {manifest.group}: of another snapshot ({manifest.snapshot[:12]}); run its step again"
            )
    if len(manifests) != groups or [manifest.group for manifest in manifests] != list(range(len(manifests))):
        raise ValueError(
            f"groups {', '.join(str(manifest.group) for manifest in manifests)} of {groups}: each group is needed "
            "exactly once; run the steps of all groups again"
        )
    for manifest in manifests:
        filesystem, root = open_root(manifest.rows_root)
        for name, part in manifest.files.items():
            _check_part(filesystem, f"{root}/{name}", f"{manifest.rows_root}/{name}", part, manifest.group)


def _check_part(filesystem: FileSystem, path: str, where: str, part: Part, group: int) -> None:
    again = f"run the step of group {group} again"
    if filesystem.get_file_info(path).type != FileType.File:
        raise FileNotFoundError(f"{where}: not there, as its group's manifest says; {again}")
    sha256, size = digest(filesystem, path)
    if size != part.bytes:
        raise ValueError(f"{where}: has {size} bytes, its group's manifest says {part.bytes}; {again}")
    if sha256 != part.sha256:
        raise ValueError(f"{where}: changed since its group's manifest was written; {again}")


def _restored(folder: Path, config: RecapConfig) -> Gathered:
    path = folder / _GATHERED_NAME
    gathered = Gathered(NegativeSampler(config), StatisticsBuilder(config))
    try:
        # Opened here, because numpy leaves a file open that is not an archive.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as state:
            gathered.sampler.counts = state["counts"]
            gathered.statistics.restore(state)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: not there; run the group's step again") from None
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise ValueError(f"{path}: not what prepare writes ({error}); run the group's step again") from None
    return gathered
