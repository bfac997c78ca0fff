#!/usr/bin/env python3
"""MNIST on Spark from end to end, in pairs: from `spark-submit` of a program that reads
Parquet to a model that is right about 98 % of the test images, on two executors of one
core, three epochs of the cnn that tfd brings along, Adam, batches of 64 for each of two
workers, by

- tfd.spark.TfdEstimator: the executors push the rows to a job on a cluster that is up,
  as Spark's is; until the command has ended, with the model exported and evaluated;
- TensorFlowOnSpark, which trains inside the executors and is fed by them
  (bench/peers/tfos_mnist.py); until its chief has saved and evaluated the model.

usage: bench/spark_mnist.py [--pairs N] [--build FOLDER]

Needs scripts/connectors, scripts/build, scripts/build-python, scripts/fetch-mnist,
bench/setup-peers --spark and the Python environment of the tests: run it with
~/.cache/tfd/venv/bin/python.
"""

import argparse
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from comparison import quartiles

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path += [str(ROOT / "tests" / name) for name in ("cluster", "python")]

EPOCHS = 3
AT_LEAST = 0.98
TARGET = 5
# Of one command; the machine may have other work.
COMMAND_SECONDS = 1800

PROGRAM = """
import sys
import tfd.spark
from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
rows = spark.read.parquet(sys.argv[1]).select("image", "label")
estimator = tfd.spark.TfdEstimator(spec=sys.argv[2], coordinator=sys.argv[3])
print(estimator.fit(rows).getModel())
spark.stop()
"""

SPEC = """
name: mnist
model: {{builtin: cnn, classes: 10, input: [1, 28, 28]}}
optimizer: {{name: adam, lr: 0.001}}
tasks: {{worker: {{count: 2, memory: 1GiB}}}}
data:
  train:
    format: pushed
    columns: {{features: image, label: label}}
    batch_size: 64
  validation:
    format: idx
    features: ${{TFD_MNIST_DIR}}/t10k-images-idx3-ubyte
    labels: ${{TFD_MNIST_DIR}}/t10k-labels-idx1-ubyte
stop: {{epochs: {epochs}}}
storage: {storage}
"""


def write_parquet(folder):
    """Of several row groups, so that there is a partition for each executor."""
    import pyarrow.parquet
    from image_tables import mnist_table

    table = mnist_table(os.environ["TFD_MNIST_DIR"])
    pyarrow.parquet.write_table(table, folder / "mnist.parquet", row_group_size=6000)
    return folder / "mnist.parquet"


class Sparks:
    """Runs programs on a Spark cluster, each of a Python."""

    def __init__(self, spark, folder):
        self.spark = spark
        self.folder = folder

    def submit(self, python, flags, program, *arguments, until=None):
        """Seconds until the file `until` is there, or else until the end."""
        flags = ["--conf", "spark.executor.memory=1g", *flags]
        log = self.folder / "submit.log"
        begin = time.monotonic()
        with open(log, "w") as output:
            process = subprocess.Popen(
                [self.spark.home / "bin" / "spark-submit"]
                + ["--master", self.spark.master, *flags]
                + [program, *map(str, arguments)],
                cwd=self.folder,
                env={**self.spark.environment, "PYSPARK_PYTHON": str(python)},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            while until is not None and not until.exists() and process.poll() is None:
                assert time.monotonic() - begin < COMMAND_SECONDS, log.read_text()
                time.sleep(0.05)
            seconds = time.monotonic() - begin
            process.wait(timeout=COMMAND_SECONDS - seconds)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        assert process.returncode == 0, log.read_text()[-8000:]
        return seconds if until else time.monotonic() - begin


def train_by_tfd(sparks, number, parquet, coordinator):
    folder = sparks.folder
    storage = folder / f"storage-{number}"
    (folder / "program.py").write_text(PROGRAM)
    spec = folder / "spec.yaml"
    spec.write_text(SPEC.format(epochs=EPOCHS, storage=storage))
    jar = ROOT / "build" / "connectors" / "spark" / "tfd-spark.jar"
    seconds = sparks.submit(
        *(sparks.spark.python, ["--jars", jar], folder / "program.py"),
        *(parquet, spec, coordinator),
    )
    described = json.loads((storage / "export" / "model.json").read_text())
    return seconds, described["metrics"]["validation_accuracy"]


def train_by_tensorflow(sparks, number, parquet, python):
    result = sparks.folder / f"tfos-{number}.json"
    program = ROOT / "bench" / "peers" / "tfos_mnist.py"
    seconds = sparks.submit(
        python, [], program, parquet, EPOCHS, result, until=result
    )
    return seconds, json.loads(result.read_text())["accuracy"]


def measure(folder, environment, pairs):
    from cluster import Cluster
    from processes import Programs
    from spark_cluster import SparkCluster, cache_folder

    peer = cache_folder() / "peers-spark" / "bin" / "python"
    assert peer.exists(), "run bench/setup-peers --spark first"
    parquet = write_parquet(folder)
    found = {"tfd": [], "tensorflow_on_spark": []}
    with Cluster(Programs(folder)) as cluster, SparkCluster(
        environment, folder, memory="2g"
    ) as spark:
        sparks = Sparks(spark, folder)
        for number in range(pairs):
            for name, run, by in (
                ("tfd", train_by_tfd, cluster.record()["address"]),
                ("tensorflow_on_spark", train_by_tensorflow, peer),
            ):
                seconds, accuracy = run(sparks, number, parquet, by)
                print(f"{name}: {seconds:.1f} s, {accuracy}", file=sys.stderr)
                assert accuracy >= AT_LEAST, f"{name} is right about {accuracy}"
                found[name].append((seconds, accuracy))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--build", default=ROOT / "build" / "release")
    options = parser.parse_args()
    os.environ["TFD_BUILD_DIR"] = str(options.build)
    os.environ["TFD_MNIST_DIR"] = subprocess.check_output(
        [ROOT / "scripts" / "fetch-mnist"], text=True
    ).strip()
    # Looks for the programs when it is imported.
    from spark_cluster import environments

    # TensorFlowOnSpark was made for it.
    (version,) = (one for one in environments() if one.startswith("3.5"))
    with tempfile.TemporaryDirectory(prefix="tfd-spark-mnist-") as folder:
        found = measure(pathlib.Path(folder), environments()[version], options.pairs)
    ours, its = ([seconds for seconds, _ in each] for each in found.values())
    ratios = [theirs / mine for mine, theirs in zip(ours, its)]
    low, middle, high = (round(one, 2) for one in quartiles(ratios))
    figures = {
        name: {
            "seconds": round(statistics.median(seconds for seconds, _ in each), 1),
            "each": each,
        }
        for name, each in found.items()
    }
    ratio = {"median": middle, "quartiles": [low, high], "target": TARGET}
    print(json.dumps({"spark": version, **figures, "times_as_fast": ratio}, indent=2))


if __name__ == "__main__":
    main()
