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
