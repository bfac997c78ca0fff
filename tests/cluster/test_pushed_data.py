"""A job that trains on what stock Flight clients push to it."""

import os
import pathlib
import re
import subprocess
import sys

import numpy
import pyarrow
import pytest
from safetensors.numpy import load_file

import flight_producer
from cluster import Cluster, other_host
from flight_producer import Producer, write_table
from image_tables import assert_spooled, mnist_table, slices
from producer_process import push_partitions

REPOSITORY = pathlib.Path(__file__).parents[2]
PRODUCER_FOLDER = pathlib.Path(flight_producer.__file__).parent

pytestmark = pytest.mark.skipif(
    "TFD_MNIST_DIR" not in os.environ, reason="needs TFD_MNIST_DIR"
)

EPOCHS = 2
BATCH = 250  # of each of two workers

PUSHED = "format: pushed, columns: {features: image, label: label}"
FILES = (
    "format: idx, features: '${TFD_MNIST_DIR}/train-images-idx3-ubyte',"
    " labels: '${TFD_MNIST_DIR}/train-labels-idx1-ubyte'"
)
VALIDATION = (
    "format: idx, features: '${TFD_MNIST_DIR}/t10k-images-idx3-ubyte',"
    " labels: '${TFD_MNIST_DIR}/t10k-labels-idx1-ubyte'"
)


@pytest.fixture
def mnist_job(spec_file):
    """Writes a deterministic job that differs from another only in where its
    training data come from."""

    def write(name, train):
        return spec_file(
            f"{name}.yaml",
            model="{builtin: mlp, hidden: [32], classes: 10}",
            deterministic="true",
            optimizer="{name: adam, lr: 0.003}",
            data=f"{{train: {{{train}, batch_size: {BATCH}}},"
            f" validation: {{{VALIDATION}}}}}",
            stop=f"{{epochs: {EPOCHS}}}",
            storage=name,
        )

    return write


def partitions_of(job):
    (dataset,) = job["datasets"]
    return {p["partition"]: p for p in dataset.get("partitions", [])}


def assert_same_model(folder, other):
    tensors = load_file(folder / "export" / "model.safetensors")
    others = load_file(other / "export" / "model.safetensors")
    assert tensors.keys() == others.keys() and tensors
    for name, tensor in tensors.items():
        numpy.testing.assert_array_equal(tensor, others[name], err_msg=name)


def test_a_job_trains_on_exactly_the_rows_that_are_pushed(
    cluster, mnist_job, tmp_path
):
    tables = slices(mnist_table(os.environ["TFD_MNIST_DIR"]), 10)
    cluster.ok("submit", mnist_job("pushed", PUSHED), "--id", "pushed", "--detach")
    producer = Producer(
        "pushed", "train", "me", coordinator=cluster.record()["address"]
    )
    producer.begin()
    push_partitions(producer, tables, killed=7, folder=tmp_path)
    with pytest.raises(pyarrow.ArrowException, match="already exists.*another attempt"):
        producer.push("3", tables[3])

    # All is sealed, nothing is committed: the rows are there and nobody has begun.
    job = cluster.job("pushed")
    assert job["state"] == "RUNNING" and int(job.get("step", 0)) == 0
    spooled = partitions_of(job)
    assert len(spooled) == len(producer.sealed) == 10
    for told in producer.sealed:
        partition = spooled[told.partition]
        assert partition["attempt"] == told.attempt
        assert partition["crc32c"] == told.crc32c
        assert_spooled(partition, tables[int(told.partition)])

    producer.commit()
    pushed = cluster.wait_for_state("pushed", "SUCCEEDED")
    steps = 60_000 // (2 * BATCH)
    assert f"{steps} per epoch of 60000 records" in cluster.ok("events", "pushed")
    assert int(pushed["step"]) == EPOCHS * steps

    # One row more, less, twice or elsewhere would give another model.
    cluster.ok("submit", mnist_job("files", FILES), "--id", "files")
    files = cluster.job("files")
    for name in ("validation_accuracy", "validation_loss"):
        assert pushed["metrics"][name] == files["metrics"][name]
    assert_same_model(tmp_path / "pushed", tmp_path / "files")


def test_what_was_aborted_can_be_pushed_again(cluster, mnist_job):
    first, again = slices(mnist_table(os.environ["TFD_MNIST_DIR"]).slice(0, 6000), 2)
    cluster.ok("submit", mnist_job("pushed", PUSHED), "--id", "pushed", "--detach")
    address = cluster.record()["address"]
    for table, partitions in ((first, 3), (again, 2)):
        producer = Producer("pushed", "train", "me", coordinator=address)
        producer.begin()
        for number, part in enumerate(slices(table, partitions)):
            producer.push(str(number), part)
        if table is first:
            assert producer.abort()["rows"] == "0"

    spooled = partitions_of(cluster.job("pushed"))
    assert len(spooled) == 2
    for number, part in enumerate(slices(again, 2)):
        assert_spooled(spooled[str(number)], part)
    producer.commit()
    cluster.wait_for_state("pushed", "SUCCEEDED")
    assert "per epoch of 3000 records" in cluster.ok("events", "pushed")


@pytest.fixture
def run_program(cluster, tmp_path):
    """Runs the program in docs/feed.md, as it is but for the coordinator's
    address, with these tables to push."""
    (program,) = re.findall(
        r"```python\n(.*?)```", (REPOSITORY / "docs" / "feed.md").read_text(), re.DOTALL
    )
    assert program.count("127.0.0.1:7070") == 1
    program = program.replace("127.0.0.1:7070", cluster.record()["address"])

    def run(*tables):
        files = [str(tmp_path / f"{number}.arrow") for number in range(len(tables))]
        for file, table in zip(files, tables):
            write_table(file, table)
        path = tmp_path / "program.py"
        path.write_text(
            "from flight_producer import read_table\n"
            f"tables = [read_table(file) for file in {files}]\n\n{program}"
        )
        return subprocess.run(
            [sys.executable, path],
            env={**os.environ, "PYTHONPATH": str(PRODUCER_FOLDER)},
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


def raised(result):
    """What Flight said in the exception that ended a program. (Arrow also logs
    it where nobody has asked.)"""
    assert result.returncode == 1
    (message,) = re.findall(r"^pyarrow\.\S+: (.*)$", result.stderr, re.MULTILINE)
    return message


def test_the_documented_program_feeds_the_template(cluster, run_program):
    spec = REPOSITORY / "configs" / "pushed.yaml"
    cluster.ok("submit", spec, "--id", "pushed", "--detach")
    mnist = mnist_table(os.environ["TFD_MNIST_DIR"])

    # What is refused at once, and what is refused later, is raised in words.
    nameless = run_program(mnist.slice(0, 10).rename_columns(["picture", "label"]))
    assert 'there is no column "image"' in raised(nameless)
    eleventh = pyarrow.array([10] * 10)
    wrong = run_program(mnist.slice(0, 10).set_column(1, "label", eleventh))
    assert "labels are 0 to 9" in raised(wrong)

    result = run_program(*slices(mnist.slice(0, 3000), 3))
    assert result.returncode == 0, result.stderr
    cluster.wait_for_state("pushed", "SUCCEEDED")
    assert "per epoch of 3000 records" in cluster.ok("events", "pushed")


def test_rows_reach_workers_on_other_hosts(programs, mnist_job):
    """Each host has rows that the other one's worker needs."""
    room = "2.25"
    tables = slices(mnist_table(os.environ["TFD_MNIST_DIR"]).slice(0, 12_000), 4)
    with Cluster(programs, "--cpus", room) as cluster, other_host(cluster, room):
        spec = mnist_job("pushed", PUSHED)
        flags = ["--set", "storage.shared=true", "--set", "tasks.worker.count=2"]
        cluster.ok("submit", spec, "--id", "pushed", "--detach", *flags)
        producer = Producer(
            "pushed", "train", "me", coordinator=cluster.record()["address"]
        )
        producer.begin()
        for number, table in enumerate(tables):
            producer.push(str(number), table, feed=number % 2)
        producer.commit()
        job = cluster.wait_for_state("pushed", "SUCCEEDED")
        nodes = {task["name"]: task["node"] for task in job["tasks"]}
        assert nodes["worker/0"] != nodes["worker/1"]
        assert {p["feed"] for p in partitions_of(job).values()} == {"feed/0", "feed/1"}
        assert "per epoch of 12000 records" in cluster.ok("events", "pushed")
