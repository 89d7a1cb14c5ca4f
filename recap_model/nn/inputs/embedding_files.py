"""Vocabularies and values of embedding tables at the start, from files that the config names."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from recap_model.config.model.inputs import LargeEmbeddingTableConfig
from recap_model.config.model.tables import TableConfig
from recap_model.data.log.id_hashing import feature_ids
from recap_model.nn.inputs.small_embeddings import EMPTY_SLOT, IdEmbedding


def read_embedding_files(
    table: IdEmbedding, config: LargeEmbeddingTableConfig | TableConfig, section: str
) -> None:
    """Take a table's vocabulary and values from the files of its config, if it names any.

    Args:
        section: of the config, for errors.

    Raises:
        FileNotFoundError: a file is not there.
        ValueError: a file does not fit the table.
    """
    ids: list[int] | None = None
    if config.vocab is not None and table.vocabulary is not None:
        ids = _read_vocabulary(Path(config.vocab), table.vocabulary.size, section)
        table.vocabulary.set_ids(sorted(ids))
    if config.pretrained is None:
        return
    rows = config.num_embeddings if ids is None else len(ids)
    values = _read_values(Path(config.pretrained), (rows, config.embedding_dim), section)
    by_id = None if ids is None else sorted(range(len(ids)), key=ids.__getitem__)
    with torch.no_grad():
        _copy_values(table, values, by_id)


def _copy_values(table: IdEmbedding, values: Tensor, by_id: list[int] | None) -> None:
    """Give the entries held here their values: those of entry 0 and on, or, in the order of ids, of 1 and on."""
    weight, first = table.table.weight, table.first
    if by_id is None:
        weight.copy_(values[first : first + len(weight)])
        return
    begin, end = max(first, 1), min(first + len(weight), len(by_id) + 1)
    if begin < end:
        weight[begin - first : end - first] = values[by_id[begin - 1 : end - 1]].to(weight)


def _read_vocabulary(path: Path, capacity: int, section: str) -> list[int]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file of ids, which {section} names as vocab")
    lines = path.read_text(errors="replace").splitlines()
    found = [_parse_id(line) for line in lines]
    if found and found[0] is None:  # of text, so that an integer is none of its ids
        words = feature_ids(pa.array(lines)).to_pylist()
        found = [
            word if line and id_ is None else None
            for word, line, id_ in zip(words, lines, found, strict=True)
        ]
    ids: dict[int, int] = {}
    for number, (line, id_) in enumerate(zip(lines, found, strict=True), start=1):
        if id_ is None:
            raise ValueError(
                f"{path}: line {number}: {line[:100]!r} is no id; a vocab has an integer of 64 bits on each line, or "
                "text on each line"
            )
        if id_ in ids:
            raise ValueError(f"{path}: line {number}: id {id_} is on line {ids[id_]} too")
        ids[id_] = number
    if len(ids) > capacity:
        raise ValueError(f"{path}: {len(ids)} ids; the table has room for {capacity}: raise num_embeddings")
    return list(ids)


def _parse_id(line: str) -> int | None:
    """A line as an id: the int64 of the same 64 bits; None if it is none."""
    try:
        number = int(line)
    except ValueError:
        return None
    number -= 2**64 if 2**63 <= number < 2**64 else 0
    return number if -EMPTY_SLOT <= number < EMPTY_SLOT else None


def _read_values(path: Path, shape: tuple[int, int], section: str) -> Tensor:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file, which {section} names as pretrained")
    try:
        values = torch.from_numpy(np.load(path, allow_pickle=False))
    except (ValueError, TypeError, EOFError) as error:
        raise ValueError(f"{path}: not a .npy file of numbers: {error}") from None
    if values.shape != shape:
        raise ValueError(f"{path}: expected shape {shape}, got {tuple(values.shape)}")
    not_finite = ~values.to(torch.float32).isfinite().all(dim=1)
    if not_finite.any():
        row = int(not_finite.nonzero()[0])
        raise ValueError(f"{path}: row {row} has a value that is NaN or infinite; write finite numbers")
    return values
