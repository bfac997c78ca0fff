"""Data of many kinds become Arrow tables, without a copy, and partitions."""

import numpy
import pandas
import pyarrow
import pyarrow.dataset
import pytest

import tfd
from tfd import tables


def numbers(rows, shape=(2, 3), dtype=numpy.float32):
    size = rows * int(numpy.prod(shape))
    return numpy.arange(size, dtype=dtype).reshape(rows, *shape)


def innermost(column):
    while isinstance(column, pyarrow.FixedSizeListArray):
        column = column.values
    return column


def test_arrays_of_more_dimensions_become_lists_without_a_copy():
    array = numbers(5)
    column = tables.to_table({"x": array})["x"]
    assert column.to_pylist() == array.tolist()
    assert column.type == pyarrow.list_(pyarrow.list_(pyarrow.float32(), 3), 2)
    (chunk,) = column.chunks
    assert innermost(chunk).buffers()[1].address == array.ctypes.data


def test_a_pandas_column_of_numbers_is_not_copied():
    frame = pandas.DataFrame({"x": numbers(6, shape=()), "other": "text"})
    (chunk,) = tables.to_table(frame, ["x"])["x"].chunks
    assert chunk.buffers()[1].address == frame["x"].to_numpy().ctypes.data


@pytest.mark.parametrize(
    "data",
    [
        pandas.DataFrame({"image": list(numbers(4)), "label": [0, 1, 2, 3]}),
        {"image": list(numbers(4)), "label": [0, 1, 2, 3]},
        {"image": numbers(4).astype(">f4"), "label": pyarrow.array([0, 1, 2, 3])},
        {"image": numpy.asfortranarray(numbers(4)), "label": range(4)},
    ],
    ids=["pandas", "lists", "big-endian", "strided"],
)
def test_other_layouts_give_the_same_rows(data):
    table = tables.to_table(data)
    assert table["image"].to_pylist() == numbers(4).tolist()
    assert table["label"].to_pylist() == [0, 1, 2, 3]


def test_categories_and_nulls_are_pushed_as_the_values_they_stand_for():
    frame = pandas.DataFrame(
        {
            "kind": pandas.Categorical([300, 7, 300]),
            "flag": pandas.array([True, None, False], dtype="boolean"),
            "gap": [1.0, numpy.nan, 2.0],
        }
    )
    (table,) = tables.tables_of(frame)
    assert table["kind"].type == pyarrow.int64()
    assert table["kind"].to_pylist() == [300, 7, 300]
    assert table["flag"].type == pyarrow.bool_()
    assert table["flag"].to_pylist() == [True, None, False]
    assert table["gap"].to_pylist() == [1.0, None, 2.0]


def test_only_the_columns_that_are_wanted_are_taken():
    columns = {"label": [1], "other": ["x"], "image": [2.0]}
    for data in (columns, pyarrow.table(columns), pandas.DataFrame(columns)):
        table = tables.to_table(data, ["image", "label"])
        assert table.column_names == ["image", "label"]
        # With one missing the feed is to say so, of all there is.
        table = tables.to_table(data, ["picture", "label"])
        assert table.column_names == ["label", "other", "image"]


@pytest.mark.parametrize(
    "data, expected",
    [
        ({"x": [1, 2], "y": [1]}, '"x" has 2, "y" has 1'),
        ({"x": 5}, 'column "x".*has no rows'),
        ({"x": numpy.zeros((2, 0))}, 'column "x".*no values'),
        ({"x": [numpy.zeros(2), numpy.zeros(3)]}, 'column "x".*one shape'),
        (numpy.zeros((2, 2)), "columns need names"),
        ("part.parquet", "pyarrow.dataset"),
        ([(1, 2)], "columns need names"),
        (7, "cannot feed int"),
    ],
)
def test_what_cannot_be_rows_is_refused_in_words(data, expected):
    with pytest.raises(tfd.InvalidError, match=expected):
        list(tables.tables_of(data))


def test_pieces_that_differ_are_refused_with_both_schemas():
    pieces = [{"x": [1]}, {"x": [2]}, {"x": [2.5]}]
    with pytest.raises(tfd.InvalidError, match="piece 2.*x: double.*x: int64"):
        list(tables.tables_of(pieces))


def test_every_kind_of_stream_gives_all_rows_in_order():
    table = pyarrow.table({"x": numpy.arange(100)})
    pieces = [table.slice(0, 40), table.slice(40, 60)]
    streams = [
        table,
        pieces,
        iter(pieces),
        (piece.to_pandas() for piece in pieces),
        (piece.to_batches()[0] for piece in pieces),
        table.to_reader(max_chunksize=7),
        pyarrow.dataset.dataset(pieces),
        table.to_pandas(),
    ]
    for stream in streams:
        rows = pyarrow.concat_tables(tables.tables_of(stream))
        assert rows["x"].to_pylist() == list(range(100)), stream


@pytest.mark.parametrize("rows, size", [(30, 1 << 30), (1 << 30, 240), (1, 8), (7, 99)])
def test_partitions_keep_order_and_bounds(rows, size):
    table = pyarrow.table({"x": numpy.arange(1000)})
    pieces = [table.slice(0, 501), table.slice(501, 1), table.slice(502)]
    parts = list(tables.cut(pieces, rows, size))
    assert all(0 < p.num_rows <= rows and p.nbytes <= size for p in parts)
    # None smaller than it has to be, but the last.
    assert len({p.num_rows for p in parts[:-1]}) <= 1
    assert pyarrow.concat_tables(parts)["x"].to_pylist() == list(range(1000))


def test_many_small_pieces_become_one_chunk():
    pieces = (pyarrow.table({"x": [n]}) for n in range(100))
    (part,) = tables.cut(pieces, 1000, 1 << 20)
    assert part["x"].num_chunks == 1 and part.num_rows == 100


def test_a_stream_is_read_no_further_than_the_next_partition():
    seen = []

    def stream():
        for number in range(10):
            seen.append(number)
            yield {"x": numpy.arange(5)}

    parts = tables.cut(tables.tables_of(stream()), 10, 1 << 20)
    assert next(parts).num_rows == 10
    assert seen == [0, 1]


@pytest.mark.parametrize("rows, parts", [(10, 3), (3, 5), (0, 2), (7, 1)])
def test_parts_of_a_table_are_even(rows, parts):
    table = pyarrow.table({"x": numpy.arange(rows)})
    found = [part.num_rows for part in tables.split(table, parts)]
    assert sum(found) == rows and max(found) - min(found) <= 1
    assert len(found) == max(1, min(parts, rows))
