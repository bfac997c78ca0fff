"""A streaming query that writes into a job that trains meanwhile."""

import os
import pathlib

import pyarrow.parquet
import pytest

import tfd
from image_tables import slices
from spark_cluster import VALIDATION

pytestmark = [
    pytest.mark.spark,
    pytest.mark.skipif("TFD_MNIST_DIR" not in os.environ, reason="needs TFD_MNIST_DIR"),
]


@pytest.mark.every_spark
def test_each_batch_of_a_query_is_trained_on_once(
    cluster, driver, spec_file, mnist, tmp_path
):
    spec = spec_file(
        "stream.yaml",
        model="{builtin: mlp, hidden: [32], classes: 10}",
        optimizer="{name: adam, lr: 0.003}",
        data="{train: {format: pushed, stream: true,"
        " columns: {features: image, label: label}, batch_size: 250},"
        f" validation: {{{VALIDATION}}}}}",
        tasks="{worker: {count: 1}}",
        checkpoint="{every_steps: 10}",
        stop="{epochs: 1}",
        storage="stream",
    )
    cluster.ok("submit", spec, "--id", "stream", "--detach")
    address = cluster.record()["address"]
    tables = slices(mnist, 6)
    source = tmp_path / "source"
    source.mkdir()
    checkpoint = tmp_path / "checkpoint"

    def add(number):
        pyarrow.parquet.write_table(tables[number], source / f"{number}.parquet")

    def run():
        options = {"coordinator": address, "job": "stream"}
        return driver.do(
            "stream",
            parquet=str(source),
            checkpoint=str(checkpoint),
            options=options,
        )

    for number in range(3):
        add(number)
    assert 0 < run()["driver_bytes"] < 4_000_000
    cluster.wait_for_step("stream", 3 * -(-len(tables[0]) // 250))
    # Spark forgets that it has committed the last batch: it is written again.
    newest = max(int(path.name) for path in (checkpoint / "commits").glob("[0-9]*"))
    for path in (checkpoint / "commits").glob(f"*{newest}*"):
        path.unlink()
    for number in range(3, 6):
        add(number)
    run()
    with tfd.Client(address) as client:
        (dataset,) = client.get("stream").datasets
        (producer,) = dataset.producers
        assert dataset.rows == len(mnist) and not dataset.complete
        client.stream("stream", producer=producer).end()
    job = cluster.wait_for_state("stream", "SUCCEEDED")
    assert int(job["datasets"][0]["rows"]) == len(mnist)
    assert job["metrics"]["validation_accuracy"] > 0.8
