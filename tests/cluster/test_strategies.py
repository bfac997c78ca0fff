"""Who holds the parameters, who waits for whom, and how tensors travel."""

import json

import pytest

# With chunks so small that each worker has some of the parameters.
ALLREDUCE = {
    "strategy": "allreduce",
    "tasks": "{worker: {count: 2}, evaluator: {count: 1, cpus: 0.5}}",
    "exchange": "{chunk_bytes: 4096}",
}


def run(programs, spec, *flags):
    result = programs.tfd("run", spec, "--json", *flags)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def model_bytes(programs, storage):
    return (programs.folder / storage / "export" / "model.safetensors").read_bytes()


def test_allreduce_trains_saves_and_exports(programs, spec_file):
    job = run(programs, spec_file(**ALLREDUCE))
    assert job["metrics"]["validation_accuracy"] > 0.95
    assert {task["name"] for task in job["tasks"]} == {
        "worker/0", "worker/1", "evaluator/0",
    }  # fmt: skip
    folder = programs.folder / "storage" / "checkpoints"
    index = json.loads((folder / "committed.json").read_text())
    assert [int(entry["step"]) for entry in index["checkpoints"]] == [80, 96]


def test_allreduce_without_an_evaluator_ends(programs, spec_file):
    changes = {**ALLREDUCE, "tasks": "{worker: {count: 3}}"}
    job = run(programs, spec_file(**changes))
    assert job["metrics"]["validation_accuracy"] > 0.95


def test_the_same_bits_whoever_holds_the_parameters_and_whatever_carries_them(
    programs, spec_file
):
    """Parameter servers and all-reduce, through memory and over sockets."""
    cases = {
        "servers": ({}, []),
        "sockets": ({}, ["--set", "exchange.transport=tcp"]),
        "two": ({}, ["--set", "tasks.ps.count=2", "--set", "exchange.chunk_bytes=4096"]),
        "allreduce": (ALLREDUCE, []),
        "allreduce-tcp": (ALLREDUCE, ["--set", "exchange.transport=tcp"]),
        # So small a model is all in one place.
        "two-small": ({}, ["--set", "tasks.ps.count=2"]),
        "allreduce-small": (ALLREDUCE, ["--set", "exchange.chunk_bytes=1MiB"]),
    }
    in_memory = {
        "servers": "1 of 1", "sockets": "0 of 1", "two": "2 of 2",
        "allreduce": "2 of 2", "allreduce-tcp": "1 of 2",
        "two-small": "1 of 1", "allreduce-small": "1 of 1",
    }  # fmt: skip
    for storage, (changes, flags) in cases.items():
        spec = spec_file(f"{storage}.yaml", deterministic="true", **changes)
        job = run(programs, spec, "--set", f"storage={storage}", *flags)
        log = programs.folder / storage / "logs" / job["id"] / "worker-1/stderr.log"
        assert f"with {in_memory[storage]} shards through memory" in log.read_text()
    first = model_bytes(programs, "servers")
    for storage in cases:
        assert model_bytes(programs, storage) == first, storage


def test_allreduce_resumes_to_the_bit(programs, spec_file):
    spec = spec_file(deterministic="true", **ALLREDUCE)
    run(programs, spec, "--set", "storage=whole", "--set", "stop.steps=60")
    run(programs, spec, "--set", "storage=parts", "--set", "stop.steps=40")
    run(programs, spec, "--set", "storage=parts", "--set", "stop.steps=60", "--resume")
    assert model_bytes(programs, "whole") == model_bytes(programs, "parts")


@pytest.mark.parametrize("strategy", ["{sync: ssp, staleness: 2}", "{sync: async}"])
def test_without_a_barrier_every_step_of_every_worker_counts(
    programs, spec_file, strategy
):
    job = run(programs, spec_file(strategy=strategy))
    assert job["metrics"]["validation_accuracy"] > 0.95
    assert int(job["step"]) == 3 * 32


@pytest.mark.parametrize("strategy", ["parameter_server", "allreduce"])
def test_numbers_that_are_none_fail_the_job_or_are_left_out(
    programs, spec_file, strategy
):
    """Pixels × 1e38 are infinite."""
    changes = ALLREDUCE if strategy == "allreduce" else {}
    data = (
        "{preprocess: [{scale: 1e38}], train: {format: idx,"
        " features: data/train-features, labels: data/train-labels, batch_size: 32}}"
    )
    tasks = {"tasks": "{worker: {count: 2}}"}
    spec = spec_file(data=data, stop="{steps: 5}", **{**changes, **tasks})
    failed = programs.tfd("run", spec)
    assert failed.returncode == 2  # found by the check before anything starts
    assert "the loss is nan" in failed.stderr
    job = run(programs, spec, "--set", "exchange.nan=skip", "--overwrite")
    assert int(job["step"]) == 5
