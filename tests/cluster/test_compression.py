"""Fewer bytes on the wire, and as good a model."""

import json
import os
import pathlib

import pytest

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"

# The learning rate ends at 0: the last steps do not decide.
TRAINING = [
    "deterministic=true", "seed=1", "optimizer={name: adam, lr: 0.006, schedule: one_cycle}",
    "stop.epochs=1",
]  # fmt: skip
FLOAT32 = "{payload: float32, top_k: 1}"


def accuracy(programs, exchange):
    flags = [
        word for value in [*TRAINING, f"exchange={exchange}"] for word in ("--set", value)
    ]
    config = CONFIGS / "compression.yaml"
    result = programs.tfd("run", config, "--json", "--overwrite", *flags, timeout=280)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)["metrics"]["validation_accuracy"]


@pytest.fixture(scope="module")
def of_float32():
    """What the first test has found, for the others."""
    return {}


@pytest.mark.skipif("TFD_MNIST_DIR" not in os.environ, reason="needs TFD_MNIST_DIR")
@pytest.mark.parametrize(
    "exchange",
    [
        "{payload: bfloat16, top_k: 1}",
        "{payload: float16, top_k: 1}",
        "{payload: float32, top_k: 0.25}",
        "{payload: bfloat16, top_k: 0.25}",
    ],
)
def test_accuracy_is_that_of_float32(programs, of_float32, exchange):
    if not of_float32:
        of_float32["accuracy"] = accuracy(programs, FLOAT32)
        assert of_float32["accuracy"] > 0.98
    assert accuracy(programs, exchange) == pytest.approx(
        of_float32["accuracy"], abs=0.002
    )


def test_what_is_held_back_cannot_be_resumed_to_the_bit(programs, spec_file):
    spec = spec_file(deterministic="true", exchange="{top_k: 0.1}")
    first = programs.tfd("run", spec, "--set", "stop.steps=20")
    assert first.returncode == 0, first.stderr
    second = programs.tfd("run", spec, "--resume")
    assert second.returncode == 2
    assert "exchange.top_k: does not go with resume and deterministic" in second.stderr
    third = programs.tfd("run", spec, "--resume", "--set", "deterministic=false")
    assert third.returncode == 0, third.stderr


def test_all_reduce_and_steps_of_their_own_take_fewer_bits_too(programs, spec_file):
    changes = {
        "allreduce": {"strategy": "allreduce", "tasks": "{worker: {count: 2}}"},
        "async": {"strategy": "{sync: async}", "tasks": "{worker: {count: 2}}"},
    }
    for storage, change in changes.items():
        spec = spec_file(
            f"{storage}.yaml",
            exchange="{payload: bfloat16, top_k: 0.2}",
            storage=storage,
            **change,
        )
        result = programs.tfd("run", spec, "--json")
        assert result.returncode == 0, result.stderr
        job = json.loads(result.stdout)
        assert job["metrics"]["validation_accuracy"] > 0.95, storage
