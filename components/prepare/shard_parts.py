"""Parts of shards: each group writes a part of every shard, and the parts are joined in the groups' order.

So a shard's bytes do not depend on the number of groups. The parts lie under the roots of the sets.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from pyarrow import ipc
from pyarrow.fs import FileType
from pydantic import NonNegativeInt

from components.common.storage.file_groups import FileGroup
from components.common.storage.parquet import open_root
from components.common.storage.retrying import open_input
from components.prepare.read_files import Gathered, Work, read_group
from components.prepare.rows import Rows, from_record_batch, to_record_batch
from components.prepare.shard_writer import DigestSink, ShardWriter, Written
from recap_model.config import StrictModel

Roots = Mapping[str, str]


class Part(StrictModel):
    """Size and digest of a part."""

    bytes: NonNegativeInt
    sha256: str


def write_parts(work: Work, group: FileGroup, roots: Roots) -> tuple[Gathered, dict[str, Part]]:
    """Write the parts of a group's rows under each set's root; returns them by ``<set>/<name>``.

    Raises as `read_group` does.
    """
    places = {split: open_root(root) for split, root in roots.items()}
    writers: dict[tuple[str, int], ipc.RecordBatchStreamWriter] = {}
    sinks: dict[str, DigestSink] = {}
    with ExitStack() as stack:

        def add(split: str, shard: int, rows: Rows) -> None:
            if not len(rows):
                return
            batch = to_record_batch(rows, numbered=True)
            if (split, shard) not in writers:
                filesystem, folder = places[split]
                name = part_name(group.number, shard)
                sink = stack.enter_context(DigestSink(filesystem, f"{folder}/{name}"))
                sinks[f"{split}/{name}"] = sink
                writers[split, shard] = stack.enter_context(ipc.new_stream(sink, batch.schema))
            writers[split, shard].write_batch(batch)

        gathered = read_group(work, group, add)
    return gathered, {name: Part(bytes=sink.bytes, sha256=sink.sha256) for name, sink in sinks.items()}


def join_parts(sources: Sequence[str], root: str, shard: int, seed: int | None, keep: bool) -> Written | None:
    """Join the parts of one shard; None if it has no rows.

    Args:
        sources: for each group in their order the root of its part, which exists if the group has rows for the shard.
        root: of the set.
        keep: do not remove the parts.
    """
    writer = ShardWriter(*open_root(root), shard, seed)
    for group, source in enumerate(sources):
        filesystem, folder = open_root(source)
        path = f"{folder}/{part_name(group, shard)}"
        if filesystem.get_file_info(path).type == FileType.File:
            with open_input(filesystem, path) as stream, ipc.open_stream(stream) as batches:
                for batch in batches:
                    writer.add(from_record_batch(batch))
    written = writer.close()
    if not keep:
        for group, source in enumerate(sources):
            _remove(source, [part_name(group, shard)])
    return written


def remove_parts(root: str, shards: int, groups: int) -> None:
    """Remove the parts of failed work from a store."""
    _remove(root, [part_name(group, shard) for group in range(groups) for shard in range(shards)])


def _remove(root: str, names: Sequence[str]) -> None:
    filesystem, folder = open_root(root)
    for info in filesystem.get_file_info([f"{folder}/{name}" for name in names]):
        if info.type == FileType.File:
            filesystem.delete_file(info.path)


def part_name(group: int, shard: int) -> str:
    """The name of a group's part of one shard."""
    return f"_part-{shard:05d}-of-group-{group:05d}.arrows"
