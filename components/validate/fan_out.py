"""Fan-out of validate over pods: each profiles a group of the log's files, and one merges and checks them."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
from pyarrow import ipc
from pydantic import NonNegativeInt, PositiveInt

from components.common.artifacts.snapshot import MANIFEST_NAME, Snapshot
from components.common.runtime.atomic_output import atomic_directory
from components.common.storage.file_groups import split_files
from components.validate.profile.file_faults import FileFault, FileFaults
from components.validate.profile.profile import Profile
from components.validate.profile.scan import PartialScan, scan_files
from components.validate.result import ValidationResult
from components.validate.validate import LOG, ValidationInputs
from recap_model.config import StrictModel
from recap_model.file_digests import file_digest
from recap_model.json_files import read_model

_PROFILE, _FACTS, _TAKEN = "profile.parquet", "facts.json", "taken-{:05d}.arrow"


class GroupManifest(StrictModel):
    """The manifest of a group's output, written last.

    Attributes:
        snapshot: its digest.
        logs: the log, and the serving log if it can be read.
        files: SHA-256 of each file, by ``<log>/<name>``.
    """

    snapshot: str
    group: NonNegativeInt
    groups: PositiveInt
    logs: list[str]
    files: dict[str, str]

    @classmethod
    def read(cls, folder: Path) -> "GroupManifest":
        """Read a manifest and verify the files. Raises FileNotFoundError or ValueError, which name the file."""
        manifest = read_model(folder / MANIFEST_NAME, cls, "the group's step")
        if manifest.files != digests(folder):
            raise ValueError(f"{folder}: changed since its group's manifest was written; run its step again")
        return manifest


def validate_group(snapshot: str | Path, out: str | Path, group: int, groups: int) -> None:
    """Profile one of ``groups`` groups of the log's files, and of the serving log's if there is one.

    With fewer files than groups, a group may be empty.

    Args:
        snapshot: what resolve wrote.
        out: folder for what was found.
        group: its number, from 0.

    Raises:
        FileNotFoundError, ValueError: as `validate_snapshot`, what is wrong with the log aside.
        ChildProcessError: a process that read files was killed.
    """
    if not 0 <= group < groups:
        raise ValueError(f"group {group} of {groups}: groups are numbered from 0 to {groups - 1}")
    inputs = ValidationInputs.read(snapshot)
    with atomic_directory(out) as folder:
        for name, log in inputs.logs.items():
            found = PartialScan()
            for own in split_files(log.snapshot, groups)[group : group + 1]:
                found = scan_files(log, own)
            _write_part(found, folder / name)
        manifest = GroupManifest(
            snapshot=inputs.logs[LOG].snapshot.digest,
            group=group,
            groups=groups,
            logs=list(inputs.logs),
            files=digests(folder),
        )
        (folder / MANIFEST_NAME).write_text(manifest.model_dump_json(indent=1))


def join_groups(
    snapshot: str | Path, parts: Sequence[str | Path], out: str | Path, docs: str | Path
) -> ValidationResult:
    """Merge and check all groups; the outputs and errors are identical to those of `validate_snapshot`.

    Args:
        parts: what `validate_group` wrote for each group, in any order.

    Raises:
        FileNotFoundError, ValueError: a group is missing, of another snapshot, or was changed; and as
            `validate_snapshot`.
    """
    inputs = ValidationInputs.read(snapshot)
    folders = [Path(part) for part in parts]
    read = sorted(((GroupManifest.read(folder), folder) for folder in folders), key=lambda one: one[0].group)
    _check([manifest for manifest, _ in read], inputs.logs[LOG].snapshot, list(inputs.logs))
    found: dict[str, PartialScan] = {}
    for name, log in inputs.logs.items():
        found[name] = PartialScan()
        for _, folder in read:
            found[name].merge(_read_part(folder / name), log.sampler.max_rows)
    return inputs.conclude(found, out, docs)


def _check(manifests: Sequence[GroupManifest], snapshot: Snapshot, logs: list[str]) -> None:
    for manifest in manifests:
        if manifest.snapshot != snapshot.digest:
            raise ValueError(
                f"group {manifest.group}: of another snapshot ({manifest.snapshot[:12]}); run its step again"
            )
        if manifest.logs != logs:
            raise ValueError(
                f"group {manifest.group}: the serving log was readable for this group or is now, but not both; run "
                "the steps of all groups again"
            )
    groups = manifests[0].groups if manifests else 0
    numbers = [manifest.group for manifest in manifests]
    if not groups or len(numbers) != groups or numbers != list(range(len(numbers))):
        raise ValueError(
            f"groups {', '.join(str(manifest.group) for manifest in manifests)} of {groups}: each group is needed "
            "exactly once; run the steps of all groups again"
        )


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file in the folders of a group's logs."""
    paths = sorted(path for path in folder.glob("*/*") if path.is_file())
    return {name: file_digest(folder, name) for name in (str(path.relative_to(folder)) for path in paths)}


def _write_part(part: PartialScan, folder: Path) -> None:
    folder.mkdir()
    part.profile.write(folder / _PROFILE)
    faults = [{**asdict(fault), "files": sorted(fault.files)} for fault in part.faults]
    (folder / _FACTS).write_text(
        json.dumps({"faults": faults, "forms": part.id_forms, "digests": part.digests})
    )
    for number, tables in enumerate(_of_one_schema(part.sample)):
        with ipc.new_file(str(folder / _TAKEN.format(number)), tables[0].schema) as writer:
            for table in tables:
                writer.write_table(table)


def _of_one_schema(tables: list[pa.Table]) -> list[list[pa.Table]]:
    runs: list[list[pa.Table]] = []
    for table in tables:
        if runs and runs[-1][0].schema.equals(table.schema, check_metadata=True):
            runs[-1].append(table)
        else:
            runs.append([table])
    return runs


def _read_part(folder: Path) -> PartialScan:
    """Read the output of `_write_part`, verified by the group's manifest."""
    facts = json.loads((folder / _FACTS).read_text())
    faults = FileFaults(FileFault(**{**found, "files": set(found["files"])}) for found in facts["faults"])
    taken = [ipc.open_file(path).read_all() for path in sorted(folder.glob(_TAKEN.split("{")[0] + "*"))]
    forms = [(path, dict(forms)) for path, forms in facts["forms"]]
    return PartialScan(Profile.read(folder / _PROFILE), faults, forms, taken, facts["digests"])
