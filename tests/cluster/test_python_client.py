"""The Python client against a real cluster."""

import os
import pathlib
import re
import signal
import subprocess
import sys

import numpy
import pandas
import pyarrow
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet
import pytest
from safetensors.numpy import load_file

import tfd
from image_tables import assert_spooled, random_images, read_idx, slices
from processes import Process, wait_for
from tfd import command

REPOSITORY = pathlib.Path(__file__).parents[2]
SITE = pathlib.Path(tfd.__file__).parents[1]

needs_mnist = pytest.mark.skipif(
    "TFD_MNIST_DIR" not in os.environ, reason="needs TFD_MNIST_DIR"
)


@pytest.fixture
def client(cluster, tmp_path, monkeypatch):
    # Where `storage: NAME` is to be.
    monkeypatch.chdir(tmp_path)
    with tfd.Client(cluster.record()["address"]) as client:
        yield client


def pushed_spec(name, **train):
    """A deterministic job that takes pushed images."""
    columns = {"features": "image", "label": "label"}
    return {
        "name": name,
        "model": {"builtin": "mlp", "hidden": [16]},
        "deterministic": True,
        "optimizer": "adam",
        "tasks": {"worker": {"count": 2, "cpus": 0.5}},
        "data": {
            "train": {
                "format": "pushed",
                "columns": columns,
                "batch_size": 250,
                "timeout": "10m",
                **train,
            }
        },
        "stop": {"epochs": 1},
        "storage": name,
    }


def model_of(client, job):
    return load_file(pathlib.Path(client.export(job)) / "model.safetensors")


def assert_same_model(one, other):
    assert one.keys() == other.keys() and one
    for name, tensor in one.items():
        numpy.testing.assert_array_equal(tensor, other[name], err_msg=name)


@needs_mnist
def test_the_same_images_in_any_form_give_the_model_that_files_give(client):
    """One row more, less, twice or elsewhere would give another model."""
    folder = pathlib.Path(os.environ["TFD_MNIST_DIR"])
    images = read_idx(folder / "train-images-idx3-ubyte")
    labels = read_idx(folder / "train-labels-idx1-ubyte")
    spec = pushed_spec("files")
    spec["data"]["train"] = {
        "format": "idx",
        "features": str(folder / "train-images-idx3-ubyte"),
        "labels": str(folder / "train-labels-idx1-ubyte"),
        "batch_size": 250,
    }
    client.submit(spec, "files")

    flat = images.reshape(len(images), -1)
    frame = pandas.DataFrame({"label": labels, "image": list(images), "other": "x"})
    pieces = (
        {"image": flat[at : at + 7000], "label": labels[at : at + 7000]}
        for at in range(0, 60_000, 7000)
    )
    for name, data, options in (
        ("arrays", {"image": images, "label": labels}, {"partitions": 13}),
        ("frame", frame, {}),
        ("stream", pieces, {"partition_rows": 10_000}),
    ):
        job = client.submit(pushed_spec(name), name)
        result = client.feed(job, "train", data, **options)
        assert result.rows == 60_000
    ended = client.wait("stream", timeout=60)
    assert ended.state is tfd.JobState.SUCCEEDED and ended.step == 120
    (dataset,) = ended.datasets
    assert (dataset.name, dataset.complete) == ("train", True)
    assert (dataset.rows, dataset.partitions) == (60_000, 6)
    for name in ("files", "arrays", "frame"):
        client.wait(name, timeout=60)
        assert_same_model(model_of(client, name), model_of(client, "stream"))


def test_a_coordinator_that_is_killed_costs_no_row_and_gives_none_twice(
    cluster, client
):
    client.submit(pushed_spec("killed"), "killed")
    table = random_images(4000, 784)
    seen = []

    def stream():
        pieces = slices(table, 8)
        yield from pieces[:3]
        # It is away while partitions are sealed, then it is back.
        pid = cluster.record()["coordinator_pid"]
        Process(pid, "tfd-coordinator", []).kill()
        yield from pieces[3:5]
        seen.append(cluster.restart_coordinator())
        yield from pieces[5:]

    events = client.follow("killed")
    first = next(events)
    result = client.feed("killed", "train", stream(), partition_rows=500)
    assert seen and (result.rows, result.partitions) == (4000, 8)
    partitions = cluster.job("killed")["datasets"][0]["partitions"]
    assert [p["partition"] for p in partitions] == [f"{n:06}" for n in range(8)]
    for partition, piece in zip(partitions, slices(table, 8)):
        assert_spooled(partition, piece)
    assert client.wait("killed", timeout=60).step == 8

    # The stream of events is one, although it was begun before the kill.
    events = [first, *events]
    kinds = [event.kind for event in events]
    numbers = [event.sequence for event in events]
    assert numbers == sorted(set(numbers))
    assert kinds[0] == "JobSubmitted" and "JobSucceeded" in kinds
    assert kinds.count("PartitionSealed") == 8


def test_what_was_dropped_or_committed_before_counts_once(cluster, client):
    client.submit(pushed_spec("again"), "again")
    table = random_images(2000)

    def broken():
        yield table.slice(0, 700)
        wait_for(lambda: client.get("again").datasets[0].rows == 500, "a partition")
        raise RuntimeError("no more of it")

    with pytest.raises(RuntimeError, match="no more of it"):
        client.feed("again", "train", broken(), producer="me", partition_rows=500)
    assert client.get("again").datasets[0].partitions == 0
    first = client.feed("again", "train", table, producer="me", partitions=4)
    assert (first.rows, first.rows_before) == (2000, 0)
    assert client.wait("again", timeout=60).step == 4
    # Also when all is over.
    second = client.feed("again", "train", table, producer="me", partitions=4)
    assert (second.rows, second.rows_before, second.partitions) == (2000, 2000, 4)

    lines = list(client.logs("again", task="feed/0"))
    assert {line.task for line in lines} == {"feed/0"}
    assert sum("is sealed with 500 rows" in line.text for line in lines) == 5
    assert list(client.logs("again", task="feed/0", tail=2)) == lines[-2:]


def test_mistakes_are_refused_in_words(client, cluster):
    job = client.submit(pushed_spec("mistakes"), "mistakes")
    rows = {"image": numpy.zeros((2, 4), numpy.uint8), "label": [1, 2]}
    with pytest.raises(tfd.NotFoundError, match='no job "nope".*tfd submit'):
        client.feed("nope", "train", rows)
    with pytest.raises(tfd.NotFoundError, match='no pushed dataset "validation"'):
        client.feed(job, "validation", rows)
    with pytest.raises(tfd.InvalidError, match='no column "label".*image: fixed_size'):
        client.feed(job, "train", {"image": rows["image"]})
    with pytest.raises(tfd.RefusedError, match="no export yet: it is RUNNING"):
        client.export(job)
    with pytest.raises(tfd.DeadlineError, match="mistakes has not ended.*RUNNING"):
        client.wait(job, timeout=0.2)

    # All that the coordinator has against a spec, and only then that.
    wrong = {**pushed_spec("wrong"), "stop": {"epochs": 0}, "seed": -1}
    with pytest.raises(tfd.InvalidError, match="seed: Value out of range"):
        client.submit(wrong)
    wrong["seed"] = 1
    del wrong["storage"]
    with pytest.raises(tfd.InvalidError) as raised:
        client.submit(wrong)
    assert "stop.epochs: 0 is out of bounds" in str(raised.value)
    assert "storage" in str(raised.value)

    # The same id again is the same job, unless the spec is another.
    assert client.submit(pushed_spec("mistakes"), "mistakes").id == job.id
    with pytest.raises(tfd.RefusedError, match="stop.epochs: 1 against 2"):
        client.submit(pushed_spec("mistakes"), "mistakes", overrides={"stop.epochs": 2})

    assert [found.id for found in client.jobs(active_only=True)] == ["mistakes"]
    client.cancel(job, "enough of it")
    with pytest.raises(tfd.JobFailedError, match="CANCELLED.*enough of it") as raised:
        client.wait(job, timeout=30)
    assert raised.value.job.state is tfd.JobState.CANCELLED
    with pytest.raises(tfd.RefusedError, match="has ended: CANCELLED"):
        client.feed(job, "train", rows)
    assert client.jobs(active_only=True) == []


def test_a_job_that_fails_says_why(client):
    spec = pushed_spec("fails")
    spec["data"]["train"] = {
        "format": "csv",
        "path": "/none.csv",
        "columns": {"label": "x"},
        "batch_size": 1,
    }
    job = client.submit(spec, "fails")
    with pytest.raises(tfd.JobFailedError, match=r"worker/\d failed.*/none.csv"):
        client.wait(job, timeout=60)
    ended = client.wait(job, check=False)
    assert ended.state is tfd.JobState.FAILED
    assert ended.cause.exit.kind == "EXITED" and ended.cause.exit.last_lines
    assert any(task.state is tfd.TaskState.FAILED for task in ended.tasks)


@pytest.fixture
def shell(cluster, client, monkeypatch, capsys):
    """Runs `python -m tfd` in this process, in the cluster's environment: gives
    the exit code, what it printed, and its errors."""
    monkeypatch.setenv("HOME", cluster.programs.environment["HOME"])
    for name in ("TFD_COORDINATOR", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments):
        try:
            code = command.main([str(argument) for argument in arguments])
        except SystemExit as exit:
            code = exit.code
        return (code, *capsys.readouterr())

    return run


def test_files_are_fed_from_the_shell(client, shell, tmp_path):
    """The coordinator is found as the tfd command finds it."""
    label = numpy.arange(300) % 10
    table = pyarrow.table({"p0": label / 10, "label": label, "p1": label * 2.0})
    for number, part in enumerate(slices(table, 3)):
        pyarrow.parquet.write_table(part, tmp_path / f"part-{number}.parquet")
        pyarrow.csv.write_csv(part, tmp_path / f"part-{number}.csv")
        pyarrow.feather.write_feather(part, tmp_path / f"part-{number}.arrow")
    columns = {"features": "p0, p1", "label": "label"}
    formats = ("parquet", "csv", "arrow")
    for format in formats:
        client.submit(pushed_spec(format, columns=columns, batch_size=25), format)
    for format in formats:
        code, output, errors = shell(
            "feed", format, "train", f"part-*.{format}", "--producer", "me"
        )
        assert code == 0, errors
        assert f"{format}/train: 300 rows in 1 partitions, committed by" in output
    for format in formats:
        client.wait(format, timeout=60)
        assert_same_model(model_of(client, format), model_of(client, "parquet"))

    for arguments, expected, message in (
        (("csv", "train", "none-*.csv"), 2, "none-*.csv: there is no such"),
        (("csv", "train", "part-0.*"), 2, "of several formats"),
        (("nope", "train", "part-0.csv"), 2, 'no job "nope"'),
        (("csv", "train", "part-0.csv"), 1, "has ended: SUCCEEDED"),
        (("csv", "train", "part-0.csv", "--format", "parquet"), 2, "part-0.csv"),
        (
            ("csv", "train", "part-0.csv", "--coordinator", "127.0.0.1:1"),
            3,
            "no coordinator answers at 127.0.0.1:1",
        ),
        ((), 2, "usage"),
    ):
        code, output, errors = shell("feed", *arguments)
        assert (code, output) == (expected, "") and message in errors, errors
        assert "gRPC" not in errors


def run_program(cluster, folder, *arguments, **options):
    """Starts Python with the package, in the cluster's environment."""
    environment = {**cluster.programs.environment, "PYTHONPATH": str(SITE)}
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


STOPPED = """
import sys, tfd

def stream():
    yield {"image": [[1.0]], "label": [0]}
    yield {"image": [[2.0]], "label": [1]}
    sys.stdin.read()  # there is always more to come

tfd.Client().feed("stopped", "train", stream(), partition_rows=1)
"""


def test_ctrl_c_drops_what_was_pushed(cluster, client, tmp_path):
    client.submit(pushed_spec("stopped"), "stopped")
    process = run_program(cluster, tmp_path, "-c", STOPPED, stdin=subprocess.PIPE)
    wait_for(lambda: client.get("stopped").datasets[0].rows == 2, "both rows")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode != 0 and "KeyboardInterrupt" in errors
    assert client.get("stopped").datasets[0].partitions == 0


@needs_mnist
def test_the_documented_program_works(cluster, tmp_path):
    """docs/python.md, as it is."""
    text = (REPOSITORY / "docs" / "python.md").read_text()
    program = "".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    (tmp_path / "program.py").write_text(program)
    process = run_program(cluster, tmp_path, "program.py")
    output, errors = process.communicate(timeout=100)
    assert process.returncode == 0, errors
    assert "SUCCEEDED" in output
