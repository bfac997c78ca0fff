#!/usr/bin/env python3
"""Rows per second that Spark writes into a job with the format tfd, spooled: the
60,000 rows of MNIST as binary (784 bytes) and as arrays of floats, from the memory
of two executors of one core; and the first write of a fresh session, from Parquet.

usage: bench/spark_feed.py [--spark VERSION] [--writes N] [--build FOLDER]

Needs scripts/connectors, scripts/build, scripts/fetch-mnist, and the Python
environment of the tests: run it with ~/.cache/tfd/venv/bin/python.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path += [str(ROOT / "tests" / name) for name in ("cluster", "python")]

SPEC = """
name: bench
model: {builtin: linear, classes: 10}
optimizer: {name: sgd, lr: 0.1}
tasks: {worker: {count: 1, cpus: 0.1}}
data:
  train:
    format: pushed
    columns: {features: image, label: label}
    producers: 1000  # never complete: nothing is trained meanwhile
    spool_bytes: 32GiB
    batch_size: 64
stop: {epochs: 1}
storage: storage
"""


def write_parquet(folder):
    """MNIST as two files."""
    import numpy
    import pyarrow
    import pyarrow.parquet
    from image_tables import mnist_table

    table = mnist_table(os.environ["TFD_MNIST_DIR"])
    table = table.set_column(1, "label", table["label"].cast(pyarrow.int32()))
    pixels = numpy.frombuffer(b"".join(table["image"].to_pylist()), numpy.uint8)
    offsets = numpy.arange(0, len(pixels) + 1, 784, dtype=numpy.int32)
    floats = pyarrow.ListArray.from_arrays(offsets, pixels.astype(numpy.float32) / 255)
    files = {}
    for name, image in (("binary", table["image"]), ("floats", floats)):
        files[name] = folder / f"{name}.parquet"
        pyarrow.parquet.write_table(table.set_column(0, "image", image), files[name])
    return files, table.num_rows


def measure(folder, environment, writes):
    from cluster import Cluster
    from processes import Programs
    from spark_cluster import Driver, SparkCluster

    (folder / "spec.yaml").write_text(SPEC)
    files, rows = write_parquet(folder)
    conf = {
        "spark.executor.memory": "2g",
        "spark.sql.files.maxPartitionBytes": str(8 << 20),
    }
    programs = Programs(folder)
    figures = {}
    with Cluster(programs) as cluster, SparkCluster(
        environment, folder, memory="3g"
    ) as spark:
        for name, file in files.items():
            job = f"bench-{name}"
            cluster.ok("submit", folder / "spec.yaml", "--id", job, "--detach")
            cluster.wait_for_state(job, "RUNNING")
            options = {"coordinator": cluster.record()["address"], "job": job}
            with Driver(spark, **conf) as driver:
                first = driver.write(file, options=options)["seconds"]
                # The JVMs compile what they run often.
                warm = [
                    driver.write(file, options=options, keep=4)["seconds"]
                    for _ in range(3 + writes)
                ][3:]
            figures[name] = {
                "first_rows_per_s": round(rows / first),
                "rows_per_s": round(rows / statistics.median(warm)),
                "best_rows_per_s": round(rows / min(warm)),
                "seconds": [round(seconds, 3) for seconds in warm],
            }
            cluster.ok("cancel", job)
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--spark", help="a version that scripts/connectors installed")
    parser.add_argument("--writes", type=int, default=9)
    parser.add_argument("--build", default=ROOT / "build" / "release")
    options = parser.parse_args()
    os.environ["TFD_BUILD_DIR"] = str(options.build)
    os.environ["TFD_MNIST_DIR"] = subprocess.check_output(
        [ROOT / "scripts" / "fetch-mnist"], text=True
    ).strip()
    # Looks for the programs when it is imported.
    from spark_cluster import environments

    version = options.spark or next(iter(environments()))
    with tempfile.TemporaryDirectory(prefix="tfd-spark-feed-") as folder:
        figures = measure(pathlib.Path(folder), environments()[version], options.writes)
    print(json.dumps({"spark": version, **figures}, indent=2))


if __name__ == "__main__":
    main()
