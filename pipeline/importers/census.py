"""Census-Income (KDD): persons of the Current Population Survey 1994/95, and three tasks of different kinds.

Columns from which a label is computed are not features, because the tasks share their inputs: education, marital_stat
and income_50k are excluded, and so is the survey's instance_weight.
"""

import json
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.importers.files import (
    ImportReport,
    find_file,
    parse_delimited,
    read_unpacked,
    require_values,
    write_log,
)

FILE = "census-income.test.gz"
NUMBERS = (
    "age",
    "wage_per_hour",
    "capital_gains",
    "capital_losses",
    "stock_dividends",
    "num_emp",
    "weeks_worked",
)
_COLUMNS = [
    "age",
    "class_worker",
    "det_ind_code",
    "det_occ_code",
    "education",
    "wage_per_hour",
    "hs_college",
    "marital_stat",
    "major_ind_code",
    "major_occ_code",
    "race",
    "hisp_origin",
    "sex",
    "union_member",
    "unemp_reason",
    "full_or_part_emp",
    "capital_gains",
    "capital_losses",
    "stock_dividends",
    "tax_filer_stat",
    "region_prev_res",
    "state_prev_res",
    "det_hh_fam_stat",
    "det_hh_summ",
    "instance_weight",
    "mig_chg_msa",
    "mig_chg_reg",
    "mig_move_reg",
    "mig_same",
    "mig_prev_sunbelt",
    "num_emp",
    "fam_under_18",
    "country_father",
    "country_mother",
    "country_self",
    "citizenship",
    "own_or_self",
    "vet_question",
    "vet_benefits",
    "weeks_worked",
    "year",
    "income_50k",
]
_EXCLUDED = ("education", "marital_stat", "income_50k", "instance_weight")
CATEGORIES = tuple(name for name in _COLUMNS if name not in NUMBERS and name not in _EXCLUDED)
_SOME_COLLEGE = (
    "Some college but no degree",
    "Associates degree-occup /vocational",
    "Associates degree-academic program",
    "Bachelors degree(BA AB BS)",
    "Masters degree(MA MS MEng MEd MSW MBA)",
    "Prof school degree (MD DDS DVM LLB JD)",
    "Doctorate degree(PhD EdD)",
)
_INCOMES = ("- 50000.", "50000+.")
_DAY = date(1995, 12, 31)
_TRAIN_FRACTION = 0.8
_CALIBRATION_FRACTION_OF_TRAIN = 0.06
_SPLIT_SEED = 2024


def import_census(source: Path, out: Path) -> ImportReport:
    """Write all persons as one day, with a column ``split`` and each category's codes in ``_codes.json``.

    The split is that of the published baselines: a permutation by seed 2024, its first 80 % for training; the last
    6 % of those are for calibration.

    Raises:
        FileNotFoundError: the file does not exist.
        FileExistsError: ``out`` holds something else.
        ValueError: a row has another number of columns, a number does not parse, an income is unknown.
    """
    path = find_file(source, FILE)
    table = _read(path)
    require_values(path, table, "income_50k", _INCOMES)
    columns: dict[str, pa.Array | pa.ChunkedArray] = {"person": pa.array(np.arange(len(table)))}
    columns |= {name: table[name].cast(pa.float32()) for name in NUMBERS}
    codes = {}
    for name in CATEGORIES:
        codes[name] = {
            value: code for code, value in enumerate(sorted(pc.unique(table[name]).to_pylist()), start=1)
        }
        known = pa.array(list(codes[name]))
        columns[name] = pc.add(pc.index_in(table[name], known).cast(pa.int64()), 1)
    columns["income_over_50k"] = pc.equal(table["income_50k"], _INCOMES[1]).cast(pa.int8())
    columns["never_married"] = pc.equal(table["marital_stat"], "Never married").cast(pa.int8())
    college = pc.is_in(table["education"], pa.array(_SOME_COLLEGE))
    columns["some_college"] = college.cast(pa.int8())
    columns["split"] = pa.array(_split(len(table)))
    extras = {"_codes.json": json.dumps(codes, indent=1)}
    return write_log(out, {_DAY: pa.table(columns)}, extras)


def _read(path: Path) -> pa.Table:
    """Read the file's columns, without the space before each value."""
    kinds = {name: pa.int64() if name in NUMBERS else pa.string() for name in _COLUMNS}
    lines = read_unpacked(path).splitlines(keepends=True)
    content = b"".join(line.replace(b", ", b",").lstrip() for line in lines)
    return parse_delimited(path, content, kinds, ",", header=False)


def _split(rows: int) -> list[str]:
    order = np.random.RandomState(_SPLIT_SEED).permutation(rows)
    words = np.full(rows, "test", dtype=object)
    train = int(_TRAIN_FRACTION * rows)
    words[order[:train]] = "train"
    words[order[int((1 - _CALIBRATION_FRACTION_OF_TRAIN) * train) : train]] = "calibration"
    return words.tolist()
