"""Images with labels as Arrow tables, the way a producer has them."""

import pathlib
import struct

import numpy
import pyarrow

from flight_producer import read_table


def read_idx(path):
    data = path.read_bytes()
    dimensions = data[3]
    shape = struct.unpack(f">{dimensions}I", data[4 : 4 + 4 * dimensions])
    return numpy.frombuffer(data, numpy.uint8, offset=4 + 4 * dimensions).reshape(shape)


def image_table(images, labels):
    """uint8 [n, pixels] and [n] as columns image (binary) and label."""
    rows, pixels = images.shape
    offsets = numpy.arange(0, rows * pixels + 1, pixels, dtype=numpy.int32)
    image = pyarrow.Array.from_buffers(
        pyarrow.binary(),
        rows,
        [None, pyarrow.py_buffer(offsets), pyarrow.py_buffer(images.tobytes())],
    )
    return pyarrow.table({"image": image, "label": pyarrow.array(labels)})


def random_images(rows, pixels=12, seed=1):
    random = numpy.random.default_rng(seed)
    return image_table(
        random.integers(0, 256, (rows, pixels), dtype=numpy.uint8),
        random.integers(0, 10, rows, dtype=numpy.uint8),
    )


def mnist_table(folder):
    """The 60,000 training images."""
    folder = pathlib.Path(folder)
    images = read_idx(folder / "train-images-idx3-ubyte")
    labels = read_idx(folder / "train-labels-idx1-ubyte")
    return image_table(images.reshape(len(images), -1), labels)


def slices(table, count):
    """The table in `count` parts of the same number of rows; the last may have
    fewer."""
    rows = -(-table.num_rows // count)
    return [table.slice(i * rows, rows) for i in range(count)]


def assert_spooled(partition, table):
    """The spool has exactly these rows, as Arrow's own reader sees them."""
    assert int(partition["rows"]) == table.num_rows
    assert read_table(partition["path"]).combine_chunks() == table.combine_chunks()
