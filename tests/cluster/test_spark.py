"""A job that trains on what Spark writes to it."""

import os

import pyarrow
import pyarrow.parquet
import pytest

from flight_producer import read_table
from image_tables import mnist_table
from spark_cluster import Driver, SparkCluster, environments

pytestmark = [
    pytest.mark.spark,
    pytest.mark.skipif("TFD_MNIST_DIR" not in os.environ, reason="needs TFD_MNIST_DIR"),
]

VALIDATION = (
    "format: idx, features: '${TFD_MNIST_DIR}/t10k-images-idx3-ubyte',"
    " labels: '${TFD_MNIST_DIR}/t10k-labels-idx1-ubyte'"
)


@pytest.fixture(scope="module", params=environments().items(), ids=lambda e: e[0])
def spark(request, tmp_path_factory):
    version, environment = request.param
    with SparkCluster(environment, tmp_path_factory.mktemp("spark")) as spark:
        yield spark


@pytest.fixture(scope="module")
def driver(spark):
    with Driver(spark) as driver:
        yield driver


@pytest.fixture(scope="module")
def mnist():
    """With a number for each row, so that rows can be told apart."""
    table = mnist_table(os.environ["TFD_MNIST_DIR"])
    labels = table["label"].cast(pyarrow.int32())
    numbers = pyarrow.array(range(len(table)), pyarrow.int64())
    return pyarrow.table({"image": table["image"], "label": labels, "id": numbers})


@pytest.fixture(scope="module")
def mnist_parquet(mnist, tmp_path_factory):
    path = tmp_path_factory.mktemp("parquet") / "mnist.parquet"
    pyarrow.parquet.write_table(mnist, path, compression="none", row_group_size=6000)
    return path


@pytest.fixture
def job(cluster, spec_file):
    """A job that waits for its data; gives the options of a write to it."""

    def submit(name="pushed", epochs=1):
        spec = spec_file(
            f"{name}.yaml",
            model="{builtin: mlp, hidden: [32], classes: 10}",
            optimizer="{name: adam, lr: 0.003}",
            data="{train: {format: pushed, columns: {features: image, label: label},"
            f" batch_size: 250}}, validation: {{{VALIDATION}}}}}",
            stop=f"{{epochs: {epochs}}}",
            storage=name,
        )
        cluster.ok("submit", spec, "--id", name, "--detach")
        return {"coordinator": cluster.record()["address"], "job": name}

    return submit


def assert_spooled(job, table):
    """The spools of a job have exactly these rows, each once, in any order."""
    (dataset,) = job["datasets"]
    tables = [read_table(p["path"]) for p in dataset.get("partitions", [])]
    rows = pyarrow.concat_tables(tables).cast(table.schema).sort_by("id")
    assert rows.combine_chunks() == table.combine_chunks()


def test_a_job_trains_on_exactly_the_rows_that_spark_writes(
    cluster, driver, job, mnist, mnist_parquet
):
    options = job()
    result = driver.write(mnist_parquet, options=options, partitions=4)
    print(result)
    assert_spooled(cluster.job("pushed"), mnist)
    cluster.wait_for_state("pushed", "SUCCEEDED")
    assert "per epoch of 60000 records" in cluster.ok("events", "pushed")
