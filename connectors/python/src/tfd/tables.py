"""Data as users have them (pandas, Arrow, NumPy, iterators) as Arrow tables, and
cut into partitions. Numbers are not copied where Arrow can use them in place."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Union

import numpy
import pyarrow
import pyarrow.dataset

from tfd.errors import InvalidError

if TYPE_CHECKING:
    import pandas

#: One piece of data: rows with named columns.
Rows = Union[pyarrow.Table, pyarrow.RecordBatch, "pandas.DataFrame", Mapping[str, Any]]
#: What `feed` takes: rows, or something that gives one piece after the other.
Data = Union[Rows, pyarrow.RecordBatchReader, pyarrow.dataset.Dataset, Iterable[Rows]]

# Smaller chunks are copied together: each costs a message of its own.
_SMALL_CHUNK_BYTES = 64 << 10
# Of files: so many rows at a time, and so many batches ahead of need.
_READ_ROWS = 16384
_READ_AHEAD = 4


def _is_pandas(data: object) -> bool:
    # Whoever has a DataFrame has imported pandas.
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(data, pandas.DataFrame)


def is_one_piece(data: object) -> bool:
    """Whether these are rows, and not a stream of them."""
    return _is_pandas(data) or isinstance(
        data, (pyarrow.Table, pyarrow.RecordBatch, Mapping)
    )


def count_rows(data: Any) -> int:
    """Of one piece."""
    if isinstance(data, (pyarrow.Table, pyarrow.RecordBatch)):
        return int(data.num_rows)
    if isinstance(data, Mapping):
        return len(next(iter(data.values()), ()))
    return len(data)


def array_column(array: Any) -> pyarrow.Array:
    """A NumPy array [rows, …] as a column; more dimensions become lists of fixed
    size."""
    array = numpy.asarray(array)
    if array.dtype == object and array.ndim == 1 and len(array):
        first = array[0]
        if isinstance(first, numpy.ndarray):
            array = numpy.stack(array)
    if array.ndim == 0:
        raise ValueError("it is a single value and has no rows")
    if array.ndim > 1 and 0 in array.shape[1:]:
        raise ValueError(f"its shape is {array.shape}: a row of it has no values")
    if array.dtype.byteorder == ">" or not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if array.ndim == 1:
        return pyarrow.array(array)
    column = pyarrow.array(numpy.ascontiguousarray(array).reshape(-1))
    for size in reversed(array.shape[1:]):
        column = pyarrow.FixedSizeListArray.from_arrays(column, size)
    return column


def _column(name: str, values: Any) -> pyarrow.Array:
    if isinstance(values, (pyarrow.Array, pyarrow.ChunkedArray)):
        return values
    try:
        return array_column(values)
    except (ValueError, TypeError, pyarrow.ArrowException) as error:
        raise InvalidError(
            f'column "{name}" cannot become an Arrow column: {error}; give an array '
            "whose rows are all of one shape"
        ) from None


def _from_columns(columns: Mapping[str, Any]) -> pyarrow.Table:
    arrays = {name: _column(name, values) for name, values in columns.items()}
    rows = {name: len(array) for name, array in arrays.items()}
    if len(set(rows.values())) > 1:
        counts = ", ".join(f'"{name}" has {count}' for name, count in rows.items())
        raise InvalidError(f"columns differ in their number of rows: {counts}")
    return pyarrow.table(arrays)


def _from_pandas(frame: Any, names: Sequence[Any]) -> pyarrow.Table:
    # Arrow takes no column whose cells are arrays of several dimensions.
    nested = {
        name: _column(name, frame[name].to_numpy())
        for name in names
        if len(frame) and isinstance(frame[name].iloc[0], numpy.ndarray)
    }
    plain = [name for name in names if name not in nested]
    try:
        # Not frame[plain], which copies.
        table = pyarrow.Table.from_pandas(frame, columns=plain, preserve_index=False)
    except pyarrow.ArrowException as error:
        raise InvalidError(f"the DataFrame cannot become Arrow: {error}") from None
    return pyarrow.table(
        {
            str(name): nested[name] if name in nested else table[str(name)]
            for name in names
        }
    )


def to_table(data: Any, columns: Sequence[str] = ()) -> pyarrow.Table:
    """Rows as a table of these columns, if it has them all; else of all, so that
    whoever takes it can say what is missing."""
    if isinstance(data, pyarrow.RecordBatch):
        data = pyarrow.Table.from_batches([data])
    if isinstance(data, pyarrow.Table):
        names: Any = data.column_names
    elif _is_pandas(data):
        names = data.columns
    elif isinstance(data, Mapping):
        names = data.keys()
    else:
        hint = ""
        if isinstance(data, (str, os.PathLike)):
            hint = "; for files: python -m tfd feed, or pyarrow.dataset.dataset(FILES)"
        elif isinstance(data, (tuple, numpy.ndarray)):
            hint = '; columns need names: {"features": …, "label": …}'
        raise InvalidError(
            f"cannot feed {type(data).__name__}: give a pandas DataFrame, an Arrow "
            f"table or batch, a dict of arrays, or an iterator of these{hint}"
        )
    if columns and all(name in names for name in columns):
        names = columns
    if isinstance(data, pyarrow.Table):
        return data.select(list(names))
    if isinstance(data, Mapping):
        return _from_columns({name: data[name] for name in names})
    return _from_pandas(data, list(names))


def _decoded(table: pyarrow.Table) -> pyarrow.Table:
    """Without dictionaries (pandas' categories), which the feed does not take."""
    for number, field in enumerate(table.schema):
        if pyarrow.types.is_dictionary(field.type):
            column = table.column(number).cast(field.type.value_type)
            table = table.set_column(number, field.name, column)
    return table


def tables_of(data: Any, columns: Sequence[str] = ()) -> Iterator[pyarrow.Table]:
    """The pieces of any data, one after the other."""
    if isinstance(data, pyarrow.dataset.Dataset):
        there = columns and all(name in data.schema.names for name in columns)
        data = data.to_batches(
            columns=list(columns) if there else None,
            batch_size=_READ_ROWS,
            batch_readahead=_READ_AHEAD,
            fragment_readahead=1,
        )
    if is_one_piece(data) or isinstance(data, (str, os.PathLike, numpy.ndarray)):
        data = [data]
    elif not isinstance(data, Iterable):
        to_table(data)  # raises
    schema: pyarrow.Schema | None = None
    for number, item in enumerate(data):
        table = _decoded(to_table(item, columns))
        # What pandas adds for itself may differ.
        table = table.replace_schema_metadata(None)
        schema = schema or table.schema
        if table.schema != schema:
            raise InvalidError(
                f"piece {number} of the data has the columns {_describe(table.schema)} "
                f"and the first has {_describe(schema)}: all must be alike"
            )
        yield table


def _describe(schema: pyarrow.Schema) -> str:
    return "{" + ", ".join(f"{field.name}: {field.type}" for field in schema) + "}"


def row_bytes(table: pyarrow.Table) -> float:
    each: float = table.nbytes / max(1, table.num_rows)
    return max(1.0, each)


def split(table: pyarrow.Table, parts: int) -> Iterator[pyarrow.Table]:
    """As many parts (but none without rows), as even as can be."""
    parts = max(1, min(parts, table.num_rows))
    bounds = [number * table.num_rows // parts for number in range(parts + 1)]
    for begin, end in zip(bounds, bounds[1:]):
        yield table.slice(begin, end - begin)


def cut(
    tables: Iterable[pyarrow.Table], max_rows: int, max_bytes: int
) -> Iterator[pyarrow.Table]:
    """The same rows in the same order in partitions of at most so many rows and
    about so many bytes. Holds one of them at a time."""
    parts: list[pyarrow.Table] = []
    rows, size = 0, 0.0
    for table in tables:
        each = row_bytes(table)
        while table.num_rows:
            room = min(max_rows - rows, int((max_bytes - size) / each))
            if room >= 1 or not parts:
                part = table.slice(0, max(1, room))
                table = table.slice(part.num_rows)
                parts.append(part)
                rows, size = rows + part.num_rows, size + part.num_rows * each
            if room < 1 or rows >= max_rows or size >= max_bytes:
                yield _join(parts, size)
                parts, rows, size = [], 0, 0.0
    if parts:
        yield _join(parts, size)


def _join(parts: list[pyarrow.Table], size: float) -> pyarrow.Table:
    table = pyarrow.concat_tables(parts)
    small = size / len(parts) < _SMALL_CHUNK_BYTES
    return table.combine_chunks() if len(parts) > 1 and small else table
