"""configs/mnist.yaml as scripts/quickstart runs it."""

import json
import os
import pathlib

import pytest

REPOSITORY = pathlib.Path(__file__).parents[2]


@pytest.mark.skipif("TFD_MNIST_DIR" not in os.environ, reason="needs TFD_MNIST_DIR")
def test_mnist_reaches_99_percent(programs):
    result = programs.tfd(
        "run", REPOSITORY / "configs" / "mnist.yaml", "--json", timeout=300
    )
    assert result.returncode == 0, result.stderr
    job = json.loads(result.stdout)
    assert job["metrics"]["validation_accuracy"] >= 0.99
    # Five pairs for each image that a list names.
    result = programs.tfd("run", REPOSITORY / "configs" / "predict-images.yaml")
    assert result.returncode == 0, result.stderr
    part = programs.folder / "runs" / "predict-images" / "part-00000.jsonl"
    rows = [json.loads(line)["predictions"] for line in part.read_text().splitlines()]
    assert [len(row) for row in rows] == [5] * 5
    assert [row[0]["label"] for row in rows] == [0, 1, 2, 4, 7]
