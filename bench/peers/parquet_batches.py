"""Parquet into batches of 64 records with pyarrow's own reader, on one core; the
same output as bench/parquet_bench.

usage: parquet_batches.py [--seconds=S] [--bare] FILE
       parquet_batches.py --write FOLDER

  --bare   only reads the record batches, and makes no float32 of them
  --write  writes the files to read: TFD_MNIST_DIR's 60,000 training images as
           binary, as lists of uint8 and as lists of float32
"""

import argparse
import json
import os
import pathlib
import statistics
import struct
import time

import numpy
import pyarrow
import pyarrow.parquet

BATCH = 64
# At a time: the fastest of 64 … 65,536 here.
READ_ROWS = 16384
SCALE = numpy.float32(1 / 255)


def read_idx(path):
    data = path.read_bytes()
    dimensions = struct.unpack_from(f">{data[3]}I", data, 4)
    return numpy.frombuffer(data, numpy.uint8, offset=4 + 4 * data[3]).reshape(
        dimensions
    )


def write(folder):
    source = pathlib.Path(os.environ["TFD_MNIST_DIR"])
    images = read_idx(source / "train-images-idx3-ubyte").reshape(60000, -1)
    labels = pyarrow.array(read_idx(source / "train-labels-idx1-ubyte"))
    offsets = numpy.arange(0, images.size + 1, images.shape[1], dtype=numpy.int32)
    pixels = images.reshape(-1)
    columns = {
        "binary": pyarrow.array([image.tobytes() for image in images]),
        "uint8 lists": pyarrow.ListArray.from_arrays(offsets, pixels),
        "float lists": pyarrow.ListArray.from_arrays(
            offsets, pixels.astype(numpy.float32) * SCALE
        ),
    }
    for name, column in columns.items():
        path = folder / f"{name}.parquet"
        table = pyarrow.table({"image": column, "label": labels})
        pyarrow.parquet.write_table(table, path, row_group_size=10000)
        print(json.dumps({"kind": name, "file": str(path)}))


def numbers(column):
    """The column's rows as a matrix, without a copy."""
    if pyarrow.types.is_binary(column.type):
        return numpy.frombuffer(column.buffers()[2], numpy.uint8).reshape(
            len(column), -1
        )
    return column.flatten().to_numpy().reshape(len(column), -1)


def read(path, bare):
    """Records per second of one pass."""
    begin = time.perf_counter()
    records = 0
    file = pyarrow.parquet.ParquetFile(path)
    batches = file.iter_batches(
        batch_size=READ_ROWS, columns=["image", "label"], use_threads=False
    )
    for rows in batches:
        records += rows.num_rows
        if bare:
            continue
        images = numbers(rows["image"])
        labels = rows["label"].to_numpy()
        for first in range(0, rows.num_rows, BATCH):
            features = images[first : first + BATCH].astype(numpy.float32)
            if images.dtype == numpy.uint8:
                features *= SCALE
            labels[first : first + BATCH].astype(numpy.int64)
    return records / (time.perf_counter() - begin)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--bare", action="store_true")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("path", type=pathlib.Path)
    args = parser.parse_args()
    if args.write:
        write(args.path)
        return
    os.sched_setaffinity(0, {0})
    pyarrow.set_cpu_count(1)
    rates = []
    end = time.perf_counter() + args.seconds
    while len(rates) < 3 or time.perf_counter() < end:
        rates.append(read(args.path, args.bare))
    print(json.dumps({"records_per_s": round(statistics.median(rates))}))


main()
