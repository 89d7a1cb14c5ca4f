"""Reading a prepared set back as a table."""

from pathlib import Path

import pyarrow as pa

from recap_model.data.dataset.manifest import DatasetManifest


def table(folder: Path) -> pa.Table:
    """The rows of a set."""
    manifest = DatasetManifest.read(folder)
    files = [pa.ipc.open_file(f"{manifest.rows_root}/{file.path}").read_all() for file in manifest.files]
    return pa.concat_tables(files).sort_by("candidate")
