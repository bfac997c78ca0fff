"""A task that dies (kill -9) is replaced, or its job goes on from a checkpoint; in
deterministic bsp the model is the same to the bit."""

import json
import re

import pytest

import tfd
from image_tables import assert_spooled, image_table, slices
from processes import run_until_training, wait_for
from records import make_records

TRAINING = {
    "deterministic": "true",
    "stop": "{epochs: 60}",
    "checkpoint": "{every_steps: 250, keep: 2}",
}
SERVERS = "{ps: {count: 2, cpus: 0.5}, worker: {count: 2, cpus: 0.5}}"


def model_bytes(programs, storage):
    return (programs.folder / storage / "export" / "model.safetensors").read_bytes()


def run(programs, spec, *flags):
    result = programs.tfd("run", spec, "--json", *flags)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def kill(programs, task):
    """Of the newest generation; waits until it is there."""
    role = task.replace("/", "-")

    def found():
        return programs.tasks(role + "-g")

    wait_for(found, f"{task} to be there")
    found()[-1].kill()


def finish(process, timeout=120):
    output, errors = process.communicate(timeout=timeout)
    assert process.returncode == 0, errors
    return json.loads(output), errors


@pytest.fixture
def undisturbed(programs, spec_file):
    """What comes of TRAINING."""
    spec = spec_file("undisturbed.yaml", **TRAINING, storage="undisturbed")
    job = run(programs, spec)
    assert job.get("restarts", 0) == 0
    return model_bytes(programs, "undisturbed")


@pytest.mark.parametrize("tasks", ["one", "two"])
@pytest.mark.parametrize("killed", ["worker/0", "worker/1"])
def test_a_worker_that_dies_is_replaced_and_no_bit_differs(
    programs, spec_file, undisturbed, killed, tasks
):
    changes = {}
    if tasks == "two":
        changes = {"tasks": SERVERS, "exchange": "{chunk_bytes: 4096}"}
    process = run_until_training(programs, spec_file(**TRAINING, **changes), "--json")
    kill(programs, killed)
    job, errors = finish(process)
    assert job["state"] == "SUCCEEDED" and job["restarts"] == 1
    # The job itself was not started again.
    assert not re.search(r"generation 1.*generation 2", errors)
    assert int(job["generation"]) == 2
    assert model_bytes(programs, "storage") == undisturbed


def test_several_deaths_of_workers_make_no_difference(
    programs, spec_file, undisturbed
):
    spec = spec_file(**TRAINING, restart="{max_failures: 5}")
    process = run_until_training(programs, spec, "--json")
    for killed in ("worker/1", "worker/0", "evaluator/0"):
        kill(programs, killed)
    job, _ = finish(process)
    assert job["restarts"] == 3
    assert model_bytes(programs, "storage") == undisturbed


@pytest.mark.parametrize("strategy", ["servers", "allreduce", "sums"])
def test_who_holds_parameters_takes_the_job_back_to_a_checkpoint(
    programs, spec_file, undisturbed, strategy
):
    changes = {
        "servers": {},
        "allreduce": {
            "strategy": "allreduce",
            "tasks": "{worker: {count: 2}, evaluator: {count: 1, cpus: 0.5}}",
        },
        "sums": {"deterministic": None, "exchange": "{aggregate: node}"},
    }[strategy]
    spec = spec_file(**{**TRAINING, **changes})
    process = run_until_training(programs, spec, "--json")
    committed = programs.folder / "storage" / "checkpoints" / "committed.json"
    wait_for(committed.exists, "a checkpoint")
    kill(programs, "ps/0" if strategy == "servers" else "worker/1")
    job, errors = finish(process)
    assert job["restarts"] == 1 and int(job["generation"]) == 2
    assert "goes on from checkpoint" in errors
    if strategy == "sums":
        assert job["metrics"]["validation_accuracy"] > 0.95
    else:
        assert model_bytes(programs, "storage") == undisturbed


def test_a_job_that_dies_before_its_first_checkpoint_starts_again(
    programs, spec_file, undisturbed
):
    spec = spec_file(**{**TRAINING, "checkpoint": "{every_steps: 0}"})
    process = run_until_training(programs, spec, "--json")
    kill(programs, "ps/0")
    job, errors = finish(process)
    assert job["restarts"] == 1 and "starts again" in errors
    assert model_bytes(programs, "storage") == undisturbed


@pytest.mark.parametrize("sync", ["ssp", "async"])
def test_workers_that_wait_for_nobody_are_replaced_too(programs, spec_file, sync):
    strategy = "{sync: ssp, staleness: 3}" if sync == "ssp" else "{sync: async}"
    spec = spec_file(**{**TRAINING, "deterministic": None}, strategy=strategy)
    process = run_until_training(programs, spec, "--json")
    kill(programs, "worker/1")
    job, _ = finish(process)
    assert job["restarts"] == 1
    assert job["metrics"]["validation_accuracy"] > 0.95


def test_failures_are_used_up(programs, spec_file):
    spec = spec_file(stop="{epochs: 100000}", restart="{max_failures: 1}")
    process = run_until_training(programs, spec)
    kill(programs, "worker/0")
    wait_for(lambda: programs.tasks("worker-0-g2"), "the one that takes its place")
    kill(programs, "worker/0")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "killed by SIGKILL; restart.max_failures: 1 is used up" in errors


def test_a_worker_of_a_prediction_is_replaced(programs, spec_file, tmp_path):
    assert programs.tfd("run", spec_file()).returncode == 0
    spec = tmp_path / "predict.yaml"
    spec.write_text(
        "name: predict\n"
        "predict: {model: storage, input: {format: idx,"
        " features: data/train-features, batch_size: 1}, output: answers,"
        " part_records: 1}\n"
        "tasks: {worker: {count: 2, cpus: 0.5}}\n"
    )
    process = programs.start("run", spec, "--json")
    folder = programs.folder / "answers"
    wait_for(lambda: list(folder.glob("part-*.jsonl")), "a part")
    kill(programs, "worker/1")
    job, _ = finish(process)
    assert job["restarts"] == 1
    rows = []
    for path in sorted(folder.glob("part-*.jsonl")):
        rows += [json.loads(line)["row"] for line in open(path)]
    assert rows == list(range(2000))


def test_a_worker_that_answers_is_replaced_and_callers_find_it(
    cluster, programs, spec_file
):
    with tfd.Client(cluster.record()["address"]) as client:
        storage = str(programs.folder / "storage")
        trained = client.submit(str(spec_file(storage=storage)), "trained")
        model = client.wait(trained, 120).export_uri
        spec = {
            "name": "serve",
            "predict": {"model": model},
            "tasks": {"worker": {"count": 2, "cpus": 0.5}},
        }
        job = client.submit(spec, "serve").id
        images, _ = make_records(100, seed=3)
        rows = {"image": images.reshape(len(images), -1)}
        before = client.predict(job, rows)
        for killed in ("worker/0", "worker/1", "worker/1"):
            kill(programs, killed)
            assert client.predict(job, rows, timeout=60).equals(before)
        client.cancel(job)


def test_a_feed_that_dies_finds_its_spool_again(cluster, programs, spec_file):
    """kill -9 while rows come in, and again once training has begun."""
    spec = spec_file(
        model="{builtin: linear, classes: 4}",
        data="{train: {format: pushed, columns: {features: image, label: label},"
        " batch_size: 32}}",
        stop="{epochs: 100}",
        tasks="{worker: {count: 1, cpus: 0.5}}",
        storage=str(programs.folder / "storage"),
    )
    images, labels = make_records(2000, seed=1)
    table = image_table(images.reshape(len(images), -1), labels)
    with tfd.Client(cluster.record()["address"]) as client:
        job = client.submit(str(spec), "fed").id

        def rows():
            pieces = slices(table, 8)
            yield from pieces[:3]
            kill(programs, "feed/0")
            yield from pieces[3:]

        fed = client.feed(job, "train", rows(), partition_rows=250)
        assert (fed.rows, fed.partitions) == (2000, 8)
        for number, partition in enumerate(cluster.job(job)["datasets"][0]["partitions"]):
            assert_spooled(partition, slices(table, 8)[number])
        wait_for(lambda: client.get(job).step > 0, "the first step")
        kill(programs, "feed/0")
        assert client.wait(job, 120).state is tfd.JobState.SUCCEEDED
    assert cluster.job(job)["restarts"] == 2
