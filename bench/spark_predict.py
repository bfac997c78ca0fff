#!/usr/bin/env python3
"""Images per second that Spark gets predictions for: MNIST's 60,000 images from the
memory of two executors of one core, by the cnn that tfd brings along, with

- tfd's TfdModel of the jar, and of the Python package: two serving workers of one
  thread answer what the executors send;
- a pandas_udf with TensorFlow, which builds the same layers once in each Python
  worker from weights that were broadcast, and predicts batches of 2,500.

In turn, round by round, each time in a fresh session after runs that do not count; a
ratio is of the medians of one round. The answers are dropped (format noop).

usage: bench/spark_predict.py [--spark VERSION] [--rounds N] [--runs N]
           [--build FOLDER]

Needs scripts/connectors, scripts/build, scripts/build-python, scripts/fetch-mnist,
bench/setup-peers and the Python environment of the tests: run it with
~/.cache/tfd/venv/bin/python.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

from comparison import quartiles

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path += [str(ROOT / "tests" / name) for name in ("cluster", "python")]
sys.path.append(str(ROOT / "build" / "python" / "site"))

WARM_UP = 2
# Of a session; the machine may have other work.
SESSION_SECONDS = 900
KINDS = ("java", "python", "tensorflow")

SPEC = """
name: model
model: {builtin: cnn, classes: 10}
optimizer: {name: adam, lr: 0.002}
tasks: {worker: {count: 1, cpus: 1}}
data:
  train:
    format: idx
    features: ${TFD_MNIST_DIR}/train-images-idx3-ubyte
    labels: ${TFD_MNIST_DIR}/train-labels-idx1-ubyte
    batch_size: 64
stop: {steps: 100}
storage: storage
"""


def write_parquet(folder):
    import pyarrow.parquet
    from image_tables import mnist_table

    table = mnist_table(os.environ["TFD_MNIST_DIR"])
    pyarrow.parquet.write_table(table, folder / "mnist.parquet")
    return folder / "mnist.parquet", table.num_rows


def measure(folder, environment, rounds, runs):
    from cluster import Cluster
    from processes import Programs
    from spark_cluster import Driver, SparkCluster, cache_folder

    (peers,) = (cache_folder() / "peers").glob("lib/python3*/site-packages")
    (folder / "spec.yaml").write_text(SPEC)
    parquet, rows = write_parquet(folder)
    programs = Programs(folder)
    sessions = {kind: [] for kind in KINDS}
    with Cluster(programs) as cluster, SparkCluster(
        environment, folder, memory="3g"
    ) as spark:
        cluster.ok("submit", folder / "spec.yaml", "--id", "model", "--detach")
        cluster.wait_for_state("model", "SUCCEEDED")
        (folder / "serve.yaml").write_text(
            "name: serve\npredict: {model: storage}\n"
            "tasks: {worker: {count: 2, cpus: 1}}\n"
        )
        cluster.ok("submit", folder / "serve.yaml", "--id", "serve", "--detach")
        cluster.wait_for_state("serve", "RUNNING")
        conf = {
            "spark.executor.memory": "2g",
            "spark.sql.execution.arrow.maxRecordsPerBatch": "2500",
            "spark.datasource.tfd.coordinator": cluster.record()["address"],
            "spark.executorEnv.TF_CPP_MIN_LOG_LEVEL": "3",
        }
        site = ROOT / "build" / "python" / "site"
        for kind in KINDS * rounds:
            # Each in a session of its own: TensorFlow brings another NumPy.
            path = peers if kind == "tensorflow" else site
            order = {"parquet": str(parquet), "kind": kind, "runs": WARM_UP + runs}
            with Driver(
                spark, **conf, **{"spark.executorEnv.PYTHONPATH": str(path)}
            ) as driver:
                driver.start({"do": "predict_seconds", **order})
                answer = driver.answer(SESSION_SECONDS)
            assert "error" not in answer, answer["error"][:4000]
            sessions[kind].append(answer["seconds"])
            print(f"{kind}: {answer['seconds']}", file=sys.stderr, flush=True)
        cluster.ok("cancel", "serve")
    return figures(sessions, rows)


def figures(sessions, rows):
    """Of each kind the images/s of its sessions, and of tfd's how many times as many
    as TensorFlow's, with quartiles."""
    warm = {
        kind: [rows / statistics.median(one[WARM_UP:]) for one in each]
        for kind, each in sessions.items()
    }
    found = {}
    for kind, each in sessions.items():
        found[kind] = {
            "first_images_per_s": [round(rows / one[0]) for one in each],
            "images_per_s": [round(one) for one in warm[kind]],
        }
        if kind != "tensorflow":
            ratios = [ours / its for ours, its in zip(warm[kind], warm["tensorflow"])]
            low, middle, high = (round(one, 2) for one in quartiles(ratios))
            ratio = {"median": middle, "quartiles": [low, high]}
            found[kind]["times_tensorflow"] = ratio
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--spark", help="a version that scripts/connectors installed")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=3, help="of a session")
    parser.add_argument("--build", default=ROOT / "build" / "release")
    options = parser.parse_args()
    os.environ["TFD_BUILD_DIR"] = str(options.build)
    os.environ["TFD_MNIST_DIR"] = subprocess.check_output(
        [ROOT / "scripts" / "fetch-mnist"], text=True
    ).strip()
    # Looks for the programs when it is imported.
    from spark_cluster import environments

    version = options.spark or next(iter(environments()))
    with tempfile.TemporaryDirectory(prefix="tfd-spark-predict-") as folder:
        environment = environments()[version]
        rounds, runs = options.rounds, options.runs
        found = measure(pathlib.Path(folder), environment, rounds, runs)
    print(json.dumps({"spark": version, **found}, indent=2))


if __name__ == "__main__":
    main()
