"""A job that trains on what Spark writes to it."""

import os
import pathlib
import signal

import numpy
import pyarrow
import pyarrow.parquet
import pytest

from counting_proxy import CountingProxy
from flight_producer import Producer, read_table
from processes import wait_for
from spark_cluster import VALIDATION

pytestmark = [
    pytest.mark.spark,
    pytest.mark.skipif("TFD_MNIST_DIR" not in os.environ, reason="needs TFD_MNIST_DIR"),
]

# As in spark_driver.py.
STRAGGLE_SECONDS = 60


@pytest.fixture
def job(cluster, spec_file):
    """A job that waits for its data; gives the options of a write to it."""

    def submit(name="pushed", spec_only=False):
        spec = spec_file(
            f"{name}.yaml",
            model="{builtin: mlp, hidden: [32], classes: 10}",
            optimizer="{name: adam, lr: 0.003}",
            data="{train: {format: pushed, columns: {features: image, label: label},"
            f" batch_size: 250}}, validation: {{{VALIDATION}}}}}",
            stop="{epochs: 1}",
            storage=name,
        )
        options = {"coordinator": cluster.record()["address"], "job": name}
        if spec_only:
            return {**options, "spec": str(spec)}
        cluster.ok("submit", spec, "--id", name, "--detach")
        return options

    return submit


def assert_spooled(job, table):
    """The spools of a job have exactly these rows, each once, in any order."""
    (dataset,) = job["datasets"]
    tables = [read_table(p["path"]) for p in dataset.get("partitions", [])]
    rows = pyarrow.concat_tables(tables).cast(table.schema).sort_by("id")
    assert rows.combine_chunks() == table.combine_chunks()


@pytest.mark.every_spark
def test_a_job_trains_on_exactly_the_rows_that_spark_writes(
    cluster, driver, job, mnist, mnist_parquet
):
    options = job()
    with CountingProxy(options["coordinator"]) as proxy:
        options["coordinator"] = proxy.address
        result = driver.write(mnist_parquet, options=options, partitions=4)
    assert_spooled(cluster.job("pushed"), mnist)
    # 47 MB of rows; the driver has seen none of them. It hands out tasks, of which
    # each is some KB, and it asked the coordinator some questions.
    assert 0 < result["driver_bytes"] < 4_000_000
    assert 0 < proxy.bytes < 50_000
    cluster.wait_for_state("pushed", "SUCCEEDED")
    assert "per epoch of 60000 records" in cluster.ok("events", "pushed")

    ended = driver.refused(mnist_parquet, options=job_options(cluster))
    assert "takes no more data, it has ended: SUCCEEDED" in ended


def job_options(cluster, name="pushed", **more):
    return {"coordinator": cluster.record()["address"], "job": name, **more}


def float_images(table):
    """The same with lists of numbers from 0 to 1 as images."""
    pixels = numpy.frombuffer(b"".join(table["image"].to_pylist()), numpy.uint8)
    offsets = numpy.arange(0, len(pixels) + 1, 784, dtype=numpy.int32)
    floats = pyarrow.ListArray.from_arrays(offsets, pixels.astype(numpy.float32) / 255)
    return table.set_column(0, "image", floats)


def test_arrays_are_written_as_lists(cluster, driver, job, mnist, tmp_path):
    few = float_images(mnist.slice(0, 3000))
    pyarrow.parquet.write_table(few, tmp_path / "floats.parquet")
    driver.write(tmp_path / "floats.parquet", options=job())
    assert rows_of(cluster)["image"].to_pylist() == few["image"].to_pylist()
    cluster.wait_for_state("pushed", "SUCCEEDED")


def rows_of(cluster, name="pushed"):
    """The rows in the spools of a job, in the order of their numbers."""
    (dataset,) = cluster.job(name)["datasets"]
    tables = [read_table(p["path"]) for p in dataset["partitions"]]
    return pyarrow.concat_tables(tables).sort_by("id").combine_chunks()


@pytest.mark.every_spark
def test_vectors_are_written_as_lists(cluster, driver, job, mnist, tmp_path):
    few = float_images(mnist.slice(0, 300))
    pyarrow.parquet.write_table(few, tmp_path / "floats.parquet")
    driver.write(tmp_path / "floats.parquet", options=job(), vectors=True)
    rows = rows_of(cluster)
    images = few["image"].to_pylist()
    assert rows["dense"].to_pylist() == rows["image"].to_pylist() == images
    cluster.wait_for_state("pushed", "SUCCEEDED")


def test_image_structs_are_written_as_their_pixels(
    cluster, driver, job, mnist, mnist_parquet
):
    image = (
        "named_struct('origin', '', 'height', 28, 'width', 28, 'nChannels', 1,"
        " 'mode', 0, 'data', image) AS image"
    )
    select = [image, "label", "id"]
    driver.write(mnist_parquet, options=job(), select=select, limit=3000)
    assert_spooled(cluster.job("pushed"), mnist.slice(0, 3000))
    cluster.wait_for_state("pushed", "SUCCEEDED")


def test_a_spec_is_submitted_before_its_data(
    cluster, driver, job, mnist, mnist_parquet, tmp_path
):
    options = job(spec_only=True)
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(pathlib.Path(options["spec"]).read_text() + "lr: 1\n")
    refused = driver.refused(
        mnist_parquet, options={**options, "spec": str(wrong)}, limit=3000
    )
    assert "tfd submit" in refused and "lr: unknown field" in refused
    driver.write(mnist_parquet, options=options, limit=3000)
    assert_spooled(cluster.job("pushed"), mnist.slice(0, 3000))
    cluster.wait_for_state("pushed", "SUCCEEDED")


def test_what_is_refused_is_said_in_the_first_line(
    cluster, driver, job, mnist_parquet
):
    options = job()

    def refused(*select, **changes):
        return driver.refused(
            mnist_parquet,
            options={**options, **changes},
            select=select or ("image", "label"),
            limit=100,
        )

    unknown = refused(job="mnits")
    assert 'there is no job "mnits" here' in unknown
    assert "`tfd submit SPEC --id mnits` submits one" in unknown
    assert 'no pushed dataset "test"' in refused(dataset="test")
    assert 'did you mean "dataset"?' in refused(datset="train")
    assert "no coordinator answers at 127.0.0.1:1" in refused(coordinator="127.0.0.1:1")
    assert 'column "day" has the type date' in refused(
        "image", "label", "DATE'2024-01-01' AS day"
    )
    # What only the feed knows.
    assert 'there is no column "image"' in refused("image AS picture", "label")
    assert 'column "label" has the type double' in refused(
        "image", "CAST(label AS DOUBLE) AS label"
    )
    assert "labels are 0 to 9" in refused("image", "label + 5 AS label")
    assert 'column "label" has a null in row' in refused(
        "image", "IF(id = 50, NULL, label) AS label"
    )
    assert dataset_of(cluster)["rows"] == "0"


def dataset_of(cluster, name="pushed"):
    """Its state; all that was refused was also dropped."""
    producer = Producer(name, "train", "me", coordinator=cluster.record()["address"])
    return producer.status()


@pytest.mark.every_spark
def test_a_task_that_fails_is_written_once(
    cluster, driver, job, mnist, mnist_parquet, tmp_path
):
    result = driver.write(
        mnist_parquet, options=job(), partitions=4, trouble="fail_first"
    )
    assert result["failed_tasks"] == 4
    assert_spooled(cluster.job("pushed"), mnist)
    cluster.wait_for_state("pushed", "SUCCEEDED")


def test_a_write_that_fails_leaves_nothing_and_can_be_repeated(
    cluster, driver, job, mnist, mnist_parquet
):
    options = job()
    few = mnist.slice(0, 5000)
    order = {"options": options, "partitions": 2, "limit": 5000}
    failed = driver.failed(mnist_parquet, **order, trouble="fail_always")
    assert "every attempt fails" in failed
    state = dataset_of(cluster)
    assert state["rows"] == "0" and not state["producers"] and not state["partitions"]
    driver.write(mnist_parquet, **order)
    assert_spooled(cluster.job("pushed"), few)
    cluster.wait_for_state("pushed", "SUCCEEDED")


def test_a_rerun_under_the_same_name_is_written_once(
    cluster, driver, job, mnist, mnist_parquet
):
    options = {**job(), "producer": "nightly"}
    order = {"options": options, "partitions": 2}
    driver.write(mnist_parquet, **order, limit=5000)
    assert_spooled(cluster.job("pushed"), mnist.slice(0, 5000))
    # Also once the job has ended.
    cluster.wait_for_state("pushed", "SUCCEEDED")
    driver.write(mnist_parquet, **order, limit=5000)
    other = driver.refused(mnist_parquet, **order, limit=4000)
    assert 'producer "nightly" has committed 5000 rows' in other


def test_an_executor_that_is_killed_is_replaced(
    cluster, spark, driver, job, mnist, mnist_parquet, tmp_path
):
    order = {"options": job(), "partitions": 4, "trouble": "hold"}
    driver.start({"parquet": str(mnist_parquet), **order, "folder": str(tmp_path)})
    wait_for(lambda: len(list(tmp_path.glob("held-*"))) == 2, "both executors")
    os.kill(spark.executors()[0], signal.SIGKILL)
    (tmp_path / "go").touch()
    result = driver.answer()
    assert "error" not in result, result["error"]
    # With it went what it had shuffled.
    assert result["stage_attempts"] > 1
    assert_spooled(cluster.job("pushed"), mnist)
    cluster.wait_for_state("pushed", "SUCCEEDED")


def test_an_executor_that_dies_after_its_seal_does_not_cost_it(
    cluster, spark, driver, job, mnist, mnist_parquet, tmp_path
):
    order = {"options": job(), "partitions": 2, "trouble": "hold"}
    driver.start({"parquet": str(mnist_parquet), **order, "folder": str(tmp_path)})
    wait_for(lambda: len(list(tmp_path.glob("held-*"))) == 2, "both executors")
    coordinator = cluster.record()["coordinator_pid"]
    os.kill(coordinator, signal.SIGSTOP)
    try:
        (tmp_path / "go").touch()
        # Both are durable, and the feed waits for the coordinator to grant them.
        folders = (cluster.programs.folder, cluster.programs.temp_folder)
        wait_for(
            lambda: sum(
                arrow.with_suffix(".json").exists()
                for folder in folders
                for arrow in folder.rglob("*.arrow")
            )
            == 2,
            "two partitions to be sealed",
        )
        os.kill(spark.executors()[0], signal.SIGKILL)
    finally:
        os.kill(coordinator, signal.SIGCONT)
    result = driver.answer()
    assert "error" not in result, result["error"]
    assert "another attempt has it" in spark.executors_said()
    assert_spooled(cluster.job("pushed"), mnist)
    cluster.wait_for_state("pushed", "SUCCEEDED")


def test_a_speculated_task_is_written_once(
    cluster, driver, job, mnist, mnist_parquet, tmp_path
):
    order = {"options": job(), "partitions": 4, "trouble": "straggle"}
    # Nothing lets the straggler go before its time.
    result = driver.write(mnist_parquet, **order, folder=str(tmp_path))
    assert result["seconds"] < STRAGGLE_SECONDS
    assert_spooled(cluster.job("pushed"), mnist)
    cluster.wait_for_state("pushed", "SUCCEEDED")
