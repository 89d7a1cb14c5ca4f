"""Form of a log's ids, integers or text, which must be the same in all files for ids to match."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from components.common.artifacts.snapshot import Snapshot
from components.common.storage.parquet import open_parquet
from recap_model.data.log.column_roles import ID_ROLES, IdForm, LogColumn, id_form
from recap_model.data.log.id_hashing import normalized_ids


@dataclass(frozen=True)
class IdForms:
    """The form of each id column and the first file that has it; a column without values has none."""

    forms: Mapping[str, tuple[IdForm, str]]

    @classmethod
    def read(cls, snapshot: Snapshot, columns: Sequence[LogColumn]) -> "IdForms":
        """Read from the footers of the log's files, until every column has a form.

        Raises as `open_parquet`.
        """
        wanted = {column.name for column in columns if column.role in ID_ROLES}
        forms: dict[str, tuple[IdForm, str]] = {}
        for file in (file for partition in snapshot.partitions for file in partition.files):
            if not wanted - set(forms):
                break
            schema = open_parquet(snapshot, file).schema_arrow
            for name in wanted - set(forms):
                if schema.get_field_index(name) >= 0 and (form := id_form(schema.field(name).type)):
                    forms[name] = form, file.path
        return cls(forms)

    def check(self, schema: pa.Schema, file: str) -> None:
        """Raise ValueError for an id column that has another form in this file."""
        for name, (form, first) in self.forms.items():
            here = id_form(schema.field(name).type) if schema.get_field_index(name) >= 0 else None
            if here not in (form, None):
                raise ValueError(
                    f"{file}: column {name} has {here}, and {form} in {first}; ids are of one type in all files; "
                    "write all files with the same type"
                )

    def normalize(self, name: str, ids: pa.Array) -> pa.Array:
        """Cast ids of one column to the same type for all files, whose columns may differ in width."""
        if not pa.types.is_null(ids.type):
            return normalized_ids(ids)
        return ids.cast(pa.string() if self.forms.get(name, ("",))[0] == "text" else pa.int64())
