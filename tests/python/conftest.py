"""Fixtures for tests with stock Flight clients."""

import os
import pathlib
import struct

import numpy
import pyarrow
import pytest

from feed_process import Feed


@pytest.fixture
def start_feed(tmp_path):
    """Starts a feed with the options given; ended after the test."""
    feeds = []

    def start(**options):
        feeds.append(Feed(tmp_path, **options))
        return feeds[-1]

    yield start
    for feed in feeds:
        feed.close()


@pytest.fixture
def feed(start_feed):
    return start_feed()


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


@pytest.fixture(scope="session")
def mnist():
    """The 60,000 training images; without TFD_MNIST_DIR, random ones of the same
    shape."""
    folder = os.environ.get("TFD_MNIST_DIR")
    if not folder:
        return random_images(60_000, 784)
    folder = pathlib.Path(folder)
    images = read_idx(folder / "train-images-idx3-ubyte")
    labels = read_idx(folder / "train-labels-idx1-ubyte")
    return image_table(images.reshape(len(images), -1), labels)
