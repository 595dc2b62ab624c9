"""Tables: CSV files of numbers with a column of labels.

A cell is a number, ``.`` before its fraction; cells are apart by ``,`` or ``;``, tabs or spaces.
The first line has names if one of them is that of the labels (:data:`LABELS`, or the one that is
asked for), if none is a number, or if they count the columns from 0. Without names the column of
labels is asked for by its number, 0 the first and -1 the last. A first column without a name is the
index that pandas writes: it is left out.
"""

import csv
import os
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from qsnn.model.arrays import DataError
from qsnn.model.files import amount, said

__all__ = ["LABELS", "MAX_FILE", "SUFFIXES", "Table", "ordered", "read_table"]

#: Names of a column of labels.
LABELS = ("label", "class", "target", "y")
SUFFIXES = (".csv", ".tsv", ".txt")
MAX_FILE = 1 << 30  # bytes
MAX_CELLS = 1 << 27
MAX_CELL = 1 << 12  # characters
END = "\x01end"  # a line behind the last one: a quote that is not closed swallows it


@dataclass(frozen=True, eq=False)
class Table:
    """values float64 [N, n], and the text of the labels, [N], of the column of a name, or None.

    names: of the columns of the values, where the first line has some; else empty
    """

    values: np.ndarray
    labels: list | None
    column: str
    names: tuple = ()


def read_table(path, label="", columns=None, order=()):
    """The :class:`Table` of a file. Raises :class:`qsnn.model.data.DataError`.

    label    name or number of the column of labels; if not given, what :data:`LABELS` has
    columns  how many there must be without labels, which then need not be there: a number, or some
    order    names of the columns that are wanted; where the first line has names, they are these,
             and the values come in this order
    """
    try:
        size = os.stat(path).st_size
        if size > MAX_FILE:
            raise DataError(f"{path}: {amount(size)}, a table here has at most {amount(MAX_FILE)}: "
                            "take fewer rows, or an .npz of smaller numbers")
        with open(path, encoding="utf-8-sig", newline="") as file:
            columns = (columns,) if type(columns) is int else columns
            table = _table(path, _rows(path, file), label, columns)
            return ordered(path, table, tuple(order))
    except UnicodeDecodeError:
        raise DataError(f"{path}: not a text: a table is a CSV in UTF-8") from None
    except csv.Error as error:
        raise DataError(f"{path}: not a CSV ({error}): is each quote, \", closed?") from None
    except OSError as error:
        raise DataError(said(error)) from None


def _rows(path, file):
    """Number and cells of each line that has some."""
    first = file.readline(1 << 20)
    file.seek(0)
    between = max(",;\t", key=first.count)
    rows = csv.reader(chain(file, [END]), delimiter=between) if between in first else (
        line.split() for line in chain(file, [END]))
    for number, row in enumerate(rows, 1):
        if row and row[-1].endswith(END):
            if row == [END]:
                return
            raise DataError(f'{path}: line {number}: a quote, ", that is not closed: close it')
        if any(cell.strip() for cell in row):
            yield number, [cell.strip() for cell in row]


def _table(path, rows, label, columns):
    first = next(rows, None)
    if first is None:
        raise DataError(f"{path}: nothing inside")
    names = _names(first[1], label)
    width, where = len(first[1]), _column(path, names, first[1], label, columns)
    index = 0 if names and not names[0] and where != 0 else None
    out = {at for at in (where, index) if at is not None}
    kept = [at for at in range(width) if at not in out]
    if not kept:
        raise DataError(f"{path}: a column of labels and no other: there is nothing to learn from")
    if columns is not None and len(kept) not in columns:
        raise DataError(f"{path}: {len(kept)} columns, the network takes "
                        f"{' or '.join(map(str, dict.fromkeys(columns)))}")
    values, labels = [], []
    for number, row in rows if names else _and(first, rows):
        if len(row) != width:
            raise DataError(f"{path}: line {number} has {len(row)} cells, the first has {width}: "
                            "all rows are as long")
        if (len(values) + 1) * len(kept) > MAX_CELLS:
            raise DataError(f"{path}: more than {MAX_CELLS:,} cells: take fewer rows, or an .npz "
                            "of smaller numbers")
        if where is not None:
            labels.append(row[where])
        values.append(_numbers(path, number, row, kept, names))
    if not values:
        raise DataError(f"{path}: names of columns and no row below them")
    return Table(np.stack(values), None if where is None else labels,
                 "" if where is None else names[where] if names else str(where),
                 tuple(names[at] for at in kept) if names else ())


def ordered(path, table, order):
    """The table with its columns where a network, or the other part of a set, has them; as it is
    where one of them has no names."""
    if not (order and table.names) or table.names == order:
        return table
    missing = [name for name in order if name not in table.names]
    if missing or len(set(table.names)) < len(table.names) or len(order) < len(table.names):
        odd = missing or [name for name in table.names if name not in order] or table.names
        raise DataError(f"{path}: {'no' if missing else 'a'} column {odd[0][:40]!r}: the columns "
                        f"are to be {_few(order)}, in whatever order; name them so, or leave out "
                        "the names")
    return replace(table, names=order,
                   values=table.values[:, [table.names.index(name) for name in order]])


def _and(first, rows):
    yield first
    yield from rows


def _names(row, label):
    """The names of the columns, or None where the first row has none."""
    wanted = {*LABELS, label.lower()} - {""}
    named = any(cell.lower() in wanted and not _is_number(cell) for cell in row)
    counted = len(row) > 2 and row == [str(at) for at in range(len(row))]
    return row if named or counted or not any(_is_number(cell) for cell in row) else None


def _column(path, names, row, label, columns):
    """Which column has the labels, or None where none needs to."""
    if label and names and label in names:
        return names.index(label)
    if label and label.lstrip("-").isdecimal() and -len(row) <= int(label) < len(row):
        if columns is not None and len(row) in columns:
            return None
        return int(label) % len(row)
    found = [at for at, name in enumerate(names or []) if name.lower() in LABELS]
    if not label and len(found) == 1:
        return found[0]
    if columns is not None:
        return None
    if label:
        raise DataError(f"{path}: no column {label!r}: there are " + (
            _few(names) if names else f"0 to {len(row) - 1}, which have no names"))
    if found:
        raise DataError(f"{path}: columns {_few([names[at] for at in found])} may each be the "
                        "labels: say --label NAME")
    raise DataError(f"{path}: no column of labels, " + (
        f"named {', '.join(LABELS)}: there are {_few(names)}; say --label NAME" if names else
        "whose first line has no names: say --label 0 if it is the first one, --label -1 the last"))


def _few(names):
    names = [name[:40] for name in names]
    return ", ".join(names[:8]) + f" and {len(names) - 8} more" * (len(names) > 8)


def _numbers(path, number, row, kept, names):
    """The cells of a row that are kept, as float64."""
    cells = [row[at] for at in kept]
    try:
        found = np.array(cells, np.float64)
        if np.isfinite(found).all():
            return found
    except ValueError:
        pass
    at = next(at for at in kept if not _is_number(row[at]) or not np.isfinite(float(row[at])))
    name = f"column {names[at]}" if names else f"column {at}"
    what = "an empty cell" if not row[at] else f"{row[at][:40]!r}, which is no number"
    remedy = "fill it in, or leave out the row or the column" if (
        not row[at] or _is_number(row[at])) else "leave out the column, or give it numbers"
    raise DataError(f"{path}: line {number}, {name}: {what}: {remedy}")


def _is_number(cell):
    try:
        float(cell)
    except ValueError:
        return False
    return True
