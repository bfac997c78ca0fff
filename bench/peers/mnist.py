"""MNIST in memory, as a tfd job gets it: the folder is TFD_MNIST_DIR."""

import os

import numpy


def load():
    """Images as uint8 [60000, 28, 28] and labels as int64 [60000]."""
    folder = os.environ["TFD_MNIST_DIR"]
    with open(os.path.join(folder, "train-images-idx3-ubyte"), "rb") as file:
        images = numpy.frombuffer(file.read(), numpy.uint8, offset=16)
    with open(os.path.join(folder, "train-labels-idx1-ubyte"), "rb") as file:
        labels = numpy.frombuffer(file.read(), numpy.uint8, offset=8)
    return images.reshape(-1, 28, 28), labels.astype(numpy.int64)
