"""Jobs that train on pushed data while it still comes in."""

import os
import pathlib

import pytest

import tfd
from flight_producer import Producer
from image_tables import mnist_table, slices
from processes import wait_for

pytestmark = pytest.mark.skipif(
    "TFD_MNIST_DIR" not in os.environ, reason="needs TFD_MNIST_DIR"
)

REPOSITORY = pathlib.Path(__file__).parents[2]
BATCH = 125  # of each of two workers
COLUMNS = "format: pushed, columns: {features: image, label: label}"
VALIDATION = (
    "format: idx, features: '${TFD_MNIST_DIR}/t10k-images-idx3-ubyte',"
    " labels: '${TFD_MNIST_DIR}/t10k-labels-idx1-ubyte'"
)


@pytest.fixture(scope="module")
def mnist():
    return mnist_table(os.environ["TFD_MNIST_DIR"])


@pytest.fixture
def submit(cluster, spec_file):
    def submit(name, train, **more):
        fields = {
            "model": "{builtin: mlp, hidden: [32], classes: 10}",
            "optimizer": "{name: adam, lr: 0.003}",
            "tasks": "{worker: {count: 2}}",
            "data": f"{{train: {{{COLUMNS}, {train}, batch_size: {BATCH}}},"
            f" validation: {{{VALIDATION}}}}}",
            "stop": "{epochs: 1}",
            "storage": name,
            **more,
        }
        spec = spec_file(f"{name}.yaml", **fields)
        cluster.ok("submit", spec, "--id", name, "--detach")

    return submit


@pytest.fixture
def client(cluster):
    with tfd.Client(cluster.record()["address"]) as client:
        yield client


def dataset_of(job):
    (dataset,) = job["datasets"]
    return dataset


def steps_of(rows):
    """Of one segment."""
    batches = -(-rows // BATCH)
    return -(-batches // 2)


def spool_bytes(folder):
    return sum(path.stat().st_size for path in folder.rglob("*.arrow"))


def test_a_stream_is_trained_on_as_it_comes(cluster, submit, client, mnist):
    submit("stream", "stream: true", checkpoint="{every_steps: 25}")
    batches = slices(mnist, 12)
    stream = client.stream("stream", producer="me")
    for table in batches[:4]:
        stream.push(table)
    # Nothing has ended, and it trains.
    trained = sum(steps_of(len(table)) for table in batches[:4])
    job = cluster.wait_for_step("stream", trained)
    assert job["state"] == "RUNNING" and not dataset_of(job).get("complete")
    assert "that are published" in job["reason"]

    # A program that is run again, and a coordinator that was killed.
    cluster.restart_coordinator()
    assert stream.newest() == 3
    again = stream.push(batches[3], batch=3)
    assert again.rows_before == again.rows == len(batches[3])
    for number, table in enumerate(batches[4:], start=4):
        assert stream.push(table, batch=number).rows == len(table)
    stream.end()
    stream.end()

    job = cluster.wait_for_state("stream", "SUCCEEDED")
    # Each batch once, and the step that says that it was the last.
    total = sum(steps_of(len(table)) for table in batches) + 1
    assert int(job["step"]) == int(job["total_steps"]) == total
    assert int(dataset_of(job)["rows"]) == len(mnist)
    assert job["metrics"]["validation_accuracy"] > 0.8
    assert "SegmentsRetired" in cluster.ok("events", "stream")


def test_the_template_takes_a_stream(cluster, client, mnist):
    spec = REPOSITORY / "configs" / "stream.yaml"
    cluster.ok("submit", spec, "--id", "stream", "--detach")
    with client.stream("stream") as stream:
        stream.push(mnist.slice(0, 3000))
    cluster.wait_for_state("stream", "SUCCEEDED")


@pytest.mark.parametrize("sync", ["bsp", "ssp", "async"])
def test_a_full_spool_holds_a_stream_back_and_loses_nothing(
    cluster, submit, client, mnist, sync
):
    # All of the rows are 11 times as large.
    limit = 4 << 20
    submit(
        "small",
        f"stream: true, spool_bytes: {limit}",
        checkpoint="{every_steps: 4}",
        strategy=f"{{sync: {sync}}}",
    )
    spool = cluster.programs.folder / ".local/state/tfd/up/spool"
    largest = 0
    with client.stream("small") as stream:
        for table in slices(mnist, 40):
            stream.push(table)
            largest = max(largest, spool_bytes(spool))
    assert 0 < largest <= limit
    job = cluster.wait_for_state("small", "SUCCEEDED")
    assert int(dataset_of(job)["rows"]) == len(mnist)
    assert int(job["step"]) == 40 * steps_of(len(mnist) // 40) + 1


def test_what_is_sealed_is_trained_on_before_the_commit(cluster, submit, mnist):
    tasks = "{worker: {count: 2}, evaluator: {count: 1}}"
    submit("sealed", "publish: seal", stop="{epochs: 2}", tasks=tasks)
    producer = Producer(
        "sealed", "train", "me", coordinator=cluster.record()["address"]
    )
    producer.begin()
    tables = slices(mnist.slice(0, 6000), 3)
    for number, table in enumerate(tables[:2]):
        producer.push(str(number), table)
    first_epoch = 2 * steps_of(2000)
    cluster.wait_for_step("sealed", first_epoch)
    producer.push("2", tables[2])
    producer.commit()
    job = cluster.wait_for_state("sealed", "SUCCEEDED")
    first_epoch += steps_of(2000)
    assert int(job["step"]) == first_epoch + steps_of(6000) + 1
    assert job["metrics"]["validation_accuracy"] > 0.7


def test_taking_back_what_was_trained_on_fails_the_job(cluster, submit, mnist):
    submit("taken", "publish: seal")
    producer = Producer("taken", "train", "me", coordinator=cluster.record()["address"])
    producer.begin()
    producer.push("0", mnist.slice(0, 2000))
    wait_for(
        lambda: dataset_of(cluster.job("taken")).get("segments") == "1",
        "the first segment",
    )
    producer.abort()
    job = cluster.wait_for_state("taken", "FAILED")
    assert "has aborted after rows of it were trained on" in job["reason"]
