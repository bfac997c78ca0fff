"""Small data: images of 8×8 whose class is the bright quarter."""

import struct

import numpy

CLASSES = 4
SIDE = 8


def make_records(records, seed):
    """(images uint8 [n, 8, 8], labels uint8 [n])."""
    random = numpy.random.default_rng(seed)
    labels = random.integers(0, CLASSES, records).astype(numpy.uint8)
    images = random.integers(0, 120, (records, SIDE, SIDE)).astype(numpy.uint8)
    half = SIDE // 2
    for image, label in zip(images, labels):
        row, column = half * (label // 2), half * (label % 2)
        image[row : row + half, column : column + half] += 100
    return images, labels


def write_idx(path, array):
    """The MNIST file format, of unsigned bytes."""
    header = struct.pack(">BBBB", 0, 0, 8, array.ndim)
    header += struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(header + array.tobytes())


def write_idx_pair(folder, name, records, seed):
    images, labels = make_records(records, seed)
    write_idx(folder / f"{name}-features", images)
    write_idx(folder / f"{name}-labels", labels)
    return images, labels


def write_csv(path, records, seed):
    """A header, then one record a line: 64 pixels and the label."""
    images, labels = make_records(records, seed)
    names = [f"p{i}" for i in range(SIDE * SIDE)]
    lines = [",".join(names + ["label"])]
    for image, label in zip(images.reshape(records, -1), labels):
        lines.append(",".join(f"{v / 255:.4f}" for v in image) + f",{label}")
    path.write_text("\n".join(lines) + "\n")
    return images, labels
