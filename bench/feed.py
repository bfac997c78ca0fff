#!/usr/bin/env python3
"""MB/s that a stock pyarrow client pushes into a job by DoPut, spooled, acknowledged
and sealed, in pairs with pyarrow's own Flight server, which discards the same; and
with --stream what memory it takes to train on 4 GB through a spool of 1 GiB.

usage: bench/feed.py [--pairs N] [--megabytes N] [--streams N] [--build FOLDER]
       bench/feed.py --stream [--gigabytes N] [--build FOLDER]

Needs scripts/build, scripts/build-python and the Python environment of the tests: run it with
~/.cache/tfd/venv/bin/python.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid

import numpy
import pyarrow
from pyarrow import flight

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path += [str(ROOT / "tests" / name) for name in ("cluster", "python")]
sys.path.append(str(ROOT / "build" / "python" / "site"))

ROW_BYTES = 784
ROWS_PER_BATCH = 1337  # a message of about 1 MiB

SPEC = """
name: bench
model: {{builtin: linear, classes: 10}}
optimizer: {{name: sgd, lr: 0.01}}
tasks: {{worker: {{count: 1, memory: 1GiB}}}}
data:
  train:
    format: pushed
    columns: {{features: image, label: label}}
    batch_size: 256
{more}
checkpoint: {{every_steps: {every}}}
stop: {{epochs: 1}}
storage: storage
"""


class Discards(flight.FlightServerBase):
    """pyarrow's server: reads what comes and keeps nothing."""

    def do_put(self, context, descriptor, reader, writer):
        for chunk in reader:
            del chunk


def serve():
    server = Discards("grpc://127.0.0.1:0")
    print(server.port, flush=True)
    server.serve()


def rows_of(count):
    """Random pixels, and labels."""
    random = numpy.random.default_rng(1)
    pixels = random.integers(0, 256, count * ROW_BYTES, dtype=numpy.uint8)
    images = pyarrow.FixedSizeBinaryArray.from_buffers(
        pyarrow.binary(ROW_BYTES), count, [None, pyarrow.py_buffer(pixels)]
    )
    labels = pyarrow.array(random.integers(0, 10, count, dtype=numpy.uint8))
    return pyarrow.table({"image": images, "label": labels})


def put(client, options, path, table):
    """One partition; returns when the server has taken all of it. Gives when the
    last row was acknowledged, which is before the partition is sealed."""
    descriptor = flight.FlightDescriptor.for_path(*path)
    writer, results = client.do_put(descriptor, table.schema, options)
    taken = []

    def read():
        while (result := results.read()) is not None:
            if json.loads(result.to_pybytes()).get("offset") == table.num_rows:
                taken.append(time.monotonic())

    reader = threading.Thread(target=read)
    reader.start()
    for batch in table.to_batches(max_chunksize=ROWS_PER_BATCH):
        writer.write_batch(batch)
    writer.done_writing()
    reader.join()
    writer.close()
    return taken[0] if taken else time.monotonic()


def put_all(clients, options, path, table, streams):
    """So many partitions at a time; seconds until all rows are acknowledged, and
    until all is sealed."""

    def push(client):
        return put(client, options, (*path, str(uuid.uuid4()), "attempt"), table)

    with concurrent.futures.ThreadPoolExecutor(streams) as pool:
        begin = time.monotonic()
        taken = max(pool.map(push, clients))
        return taken - begin, time.monotonic() - begin


def compare(cluster, folder, options):
    from flight_producer import Producer

    more = "    producers: 1000\n    spool_bytes: 64GiB"
    (folder / "spec.yaml").write_text(SPEC.format(more=more, every=0))
    cluster.ok("submit", folder / "spec.yaml", "--id", "bench", "--detach")
    cluster.wait_for_state("bench", "RUNNING")
    producer = Producer(
        "bench", "train", "me", coordinator=cluster.record()["address"]
    )
    producer.begin()
    ((location, token),) = producer.endpoints()
    server = subprocess.Popen(
        [sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True
    )
    table = rows_of(options.megabytes * 1_000_000 // ROW_BYTES)
    megabytes = options.streams * table.nbytes / 1e6
    try:
        port = server.stdout.readline().strip()
        ours = [flight.connect(location) for _ in range(options.streams)]
        theirs = [
            flight.connect(f"grpc://127.0.0.1:{port}") for _ in range(options.streams)
        ]
        headers = [(b"authorization", b"Bearer " + token.encode())]
        call = flight.FlightCallOptions(headers=headers)
        path = ("jobs", "bench", "train", "me")
        names = ("tfd", "tfd_sealed", "pyarrow", "ratio", "ratio_sealed")
        figures = {name: [] for name in names}
        for pair in range(options.pairs + 1):
            spooled, sealed = put_all(ours, call, path, table, options.streams)
            _, thrown = put_all(
                theirs, flight.FlightCallOptions(), path, table, options.streams
            )
            if pair > 0:  # the first warms up
                figures["tfd"].append(round(megabytes / spooled))
                figures["tfd_sealed"].append(round(megabytes / sealed))
                figures["pyarrow"].append(round(megabytes / thrown))
                figures["ratio"].append(round(thrown / spooled, 3))
                figures["ratio_sealed"].append(round(thrown / sealed, 3))
            # Or the disk of the spool would be filled.
            producer.abort()
            producer.begin()
    finally:
        server.kill()
    median = {name: statistics.median(values) for name, values in figures.items()}
    return {"median": median, "pairs": figures}


def memory_of(pid):
    fields = {}
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in ("RssAnon", "RssFile", "VmHWM"):
            fields[name] = int(value.split()[0]) // 1024
    return fields


def spool_megabytes(folder):
    total = 0
    for path in folder.rglob("*.arrow"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:  # just dropped
            continue
    return total // 2**20


def stream(cluster, folder, options):
    import tfd

    more = "    stream: true\n    spool_bytes: 1GiB"
    (folder / "spec.yaml").write_text(SPEC.format(more=more, every=200))
    cluster.ok("submit", folder / "spec.yaml", "--id", "bench", "--detach")
    job = cluster.wait_for_state("bench", "RUNNING")
    pids = {task["name"]: task["pid"] for task in job["tasks"]}
    table = rows_of(100_000_000 // ROW_BYTES)
    batches = options.gigabytes * 10
    spool = cluster.programs.folder / ".local/state/tfd/up/spool"
    peak = {"spool_mib": 0, "feed/0": {}, "worker/0": {}}

    def look():
        peak["spool_mib"] = max(peak["spool_mib"], spool_megabytes(spool))
        for task in ("feed/0", "worker/0"):
            for name, value in memory_of(pids[task]).items():
                peak[task][name] = max(peak[task].get(name, 0), value)

    begin = time.monotonic()
    with tfd.Client(cluster.record()["address"]) as client:
        with client.stream("bench") as producer:
            for _ in range(batches):
                producer.push(table)
                look()
    pushed = time.monotonic() - begin
    job = cluster.wait_for_state("bench", "SUCCEEDED", timeout=600)
    return {
        "pushed_gb": round(batches * table.nbytes / 1e9, 2),
        "rows": job["datasets"][0]["rows"],
        "push_seconds": round(pushed, 1),
        "peak_mib": peak,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--megabytes", type=int, default=400)
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--gigabytes", type=int, default=4)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--build", default=ROOT / "build" / "release")
    options = parser.parse_args()
    if options.serve:
        serve()
    os.environ["TFD_BUILD_DIR"] = str(options.build)
    # Looks for the programs when it is imported.
    from cluster import Cluster
    from processes import Programs

    with tempfile.TemporaryDirectory(prefix="tfd-feed-") as name:
        folder = pathlib.Path(name)
        with Cluster(Programs(folder)) as cluster:
            measure = stream if options.stream else compare
            print(json.dumps(measure(cluster, folder, options), indent=2))


if __name__ == "__main__":
    main()
