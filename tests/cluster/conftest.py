"""Fixtures for tests with real processes: the built programs, small data, and
the promise that nothing is left behind."""

import os
import pathlib

import pyarrow
import pyarrow.parquet
import pytest

import tfd
from cluster import Cluster
from image_tables import mnist_table
from processes import Programs, leftovers
from records import write_csv, write_idx_pair
from spark_cluster import VALIDATION, Driver, SparkCluster, environments


@pytest.fixture
def programs(tmp_path):
    """The built programs in an environment of the test's own. After the test no
    process of it may be alive and its temporary folder must be empty."""
    programs = Programs(tmp_path)
    yield programs
    left = leftovers(tmp_path)
    for process in left:
        process.kill()
    assert not left, f"processes left behind: {left}"
    files = [str(path) for path in programs.temp_folder.iterdir()]
    assert not files, f"temporary files left behind: {files}"
    programs.temp_folder.rmdir()


@pytest.fixture
def data(tmp_path):
    """Small images of four classes that a linear model tells apart, as IDX and
    CSV."""
    folder = tmp_path / "data"
    folder.mkdir()
    write_idx_pair(folder, "train", records=2000, seed=1)
    write_idx_pair(folder, "test", records=500, seed=2)
    write_csv(folder / "train.csv", records=2000, seed=1)
    write_csv(folder / "test.csv", records=500, seed=2)
    return folder


@pytest.fixture
def cluster(programs):
    """A cluster of `tfd up`, ended after the test."""
    with Cluster(programs) as cluster:
        yield cluster


@pytest.fixture
def spec_file(tmp_path, data):
    """Writes a spec that trains the small images, with changes."""

    def write(name="small.yaml", **changes) -> pathlib.Path:
        fields = {
            "name": "small",
            "model": "{builtin: mlp, hidden: [16], classes: 4}",
            "loss": "cross_entropy",
            "optimizer": "{name: adam, lr: 0.01}",
            "tasks": "{ps: {count: 1, cpus: 0.5}, worker: {count: 2, cpus: 1},"
            " evaluator: {count: 1, cpus: 0.5}}",
            "data": "{train: {format: idx, features: data/train-features,"
            " labels: data/train-labels, batch_size: 32},"
            " validation: {format: idx, features: data/test-features,"
            " labels: data/test-labels, batch_size: 100}}",
            "stop": "{epochs: 3}",
            "storage": "storage",
            "checkpoint": "{every_steps: 20, keep: 2}",
        }
        fields.update(changes)
        path = tmp_path / name
        path.write_text(
            "".join(f"{key}: {value}\n" for key, value in fields.items() if value)
        )
        return path

    return write


def pytest_generate_tests(metafunc):
    """All tests run with the newest Spark, and those marked so with every one."""
    if "spark" in metafunc.fixturenames:
        every = metafunc.definition.get_closest_marker("every_spark")
        versions = environments() if every else list(environments())[:1]
        metafunc.parametrize("spark", list(versions), indirect=True, scope="module")


@pytest.fixture(scope="module")
def spark(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("spark")
    with SparkCluster(environments()[request.param], folder) as spark:
        yield spark


@pytest.fixture(scope="module")
def driver(spark):
    conf = {
        "spark.speculation": "true",
        "spark.speculation.interval": "100ms",
        "spark.speculation.quantile": "0.5",
        # Of what is not meant to straggle, nothing takes as long.
        "spark.speculation.minTaskRuntime": "4s",
    }
    with Driver(spark, **conf) as driver:
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
def estimator(cluster, spec_file):
    """Parameters of an estimator whose model is right about most digits."""
    spec = spec_file(
        "estimator.yaml",
        model="{builtin: mlp, hidden: [32], classes: 10}",
        optimizer="{name: adam, lr: 0.003}",
        data="{train: {format: pushed, columns: {features: image, label: label},"
        f" batch_size: 50}}, validation: {{{VALIDATION}}}}}",
        tasks="{worker: {count: 1, cpus: 0.5}}",
        stop="{epochs: 3}",
        storage=str(pathlib.Path(cluster.programs.folder) / "trained"),
    )
    return {"spec": str(spec), "coordinator": cluster.record()["address"]}


@pytest.fixture
def serving(cluster, estimator, mnist):
    """A job that serves a model of MNIST; gives the options of a TfdModel."""
    with tfd.Client(cluster.record()["address"]) as client:
        job = client.submit(estimator["spec"], "trained")
        client.feed(job, "train", mnist.slice(0, 6000))
        export = client.wait(job, 120).export_uri
        spec = {
            "name": "serve",
            "predict": {"model": export},
            "tasks": {"worker": {"count": 2, "cpus": 0.5}},
        }
        client.submit(spec, "serve")
    return {"job": "serve", "coordinator": cluster.record()["address"]}
