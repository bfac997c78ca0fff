"""The commands that bench/run measures with: each function runs one and gives what
it measured as {key: value}."""

import datetime
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PEERS = ROOT / "bench" / "peers"
# For Python's processes, and tfd's, which sets the same by itself: large blocks are
# kept and used again.
MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(4 << 30),
}
BATCH = 64
TIMEOUT_SECONDS = 600


class Missing(Exception):
    """Something is not installed or not built; says which command does it."""


class Failed(Exception):
    """A command failed; says which and what it printed last."""


def cache_folder():
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(os.environ.get("TFD_CACHE_DIR") or pathlib.Path(base) / "tfd")


class Progress:
    """Says on stderr what is being run, once it has taken over two seconds: on a
    terminal a line that is kept up to date, elsewhere one line in 30 seconds."""

    def __init__(self):
        self.prefix = ""
        self.terminal = sys.stderr.isatty()
        self.said = 0.0

    def show(self, label, seconds):
        text = f"{self.prefix}{label} … {seconds:.0f} s"
        if self.terminal:
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
        elif time.monotonic() - self.said >= 30:
            self.said = time.monotonic()
            print(text, file=sys.stderr, flush=True)

    def clear(self):
        if self.terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


progress = Progress()


def run(label, command, environment=None):
    """The command's standard output."""
    process = subprocess.Popen(
        [str(part) for part in command],
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    begin = time.monotonic()
    try:
        while True:
            try:
                output, errors = process.communicate(timeout=1)
                break
            except subprocess.TimeoutExpired:
                seconds = time.monotonic() - begin
                if seconds > TIMEOUT_SECONDS:
                    raise Failed(f"{label} took over {TIMEOUT_SECONDS} s") from None
                if seconds > 2:
                    progress.show(label, seconds)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        progress.clear()
    if process.returncode != 0:
        last = "\n".join((output + errors).strip().splitlines()[-8:])
        raise Failed(f"{label} ended with {process.returncode}:\n{last}")
    return output


def json_lines(output):
    lines = [line for line in output.splitlines() if line.startswith("{")]
    return [json.loads(line) for line in lines]


class Tfd:
    """tfd's own programs, in a build folder."""

    def __init__(self, build):
        self.build = pathlib.Path(build)

    def program(self, path):
        found = self.build / path
        if not found.exists():
            raise Missing("scripts/build release && scripts/build release bench")
        return found

    def exchange(self, kind, sizes, seconds):
        """Median µs of a step with one parameter server, by size."""
        names = "|".join(str(size) for size in sizes)
        output = run(
            f"tfd, exchange through {kind}",
            [
                self.program("bench/exchange_bench"),
                f"--benchmark_filter=BM_PushPull_{kind}/({names})/",
                f"--benchmark_min_time={seconds}",
                "--benchmark_format=json",
            ],
        )
        results = json.loads(output[output.index("{\n") :])["benchmarks"]
        for one in results:
            if one.get("error_occurred"):
                raise Failed(f"{one['name']}: {one['error_message']}")
        return {int(one["name"].split("/")[1]): one["p50_us"] for one in results}

    def ceiling(self, kind, sizes, seconds):
        command = [self.program("bench/ceilings"), f"--seconds={seconds}", kind]
        lines = json_lines(run(f"ceiling of {kind}", command + sizes))
        return {line["bytes"]: line["p50_us"] for line in lines}

    def allreduce(self, processes, transport, sizes, seconds):
        command = [self.program("bench/allreduce_bench"), f"--seconds={seconds}"]
        label = f"tfd, all-reduce of {processes} through {transport}"
        lines = json_lines(run(label, command + [processes, transport] + sizes))
        return {line["bytes"]: line["p50_us"] for line in lines}

    def floor(self, processes, sizes, seconds):
        command = [self.program("bench/allreduce_floor"), f"--seconds={seconds}"]
        label = f"floor of all-reduce of {processes}"
        lines = json_lines(run(label, command + [processes] + sizes))
        return {line["bytes"]: line["p50_us"] for line in lines}

    def parquet(self, kind, file, seconds):
        """Records/s from a file to batches of float32."""
        command = [self.program("bench/parquet_bench"), f"--seconds={seconds}", file]
        lines = json_lines(run(f"tfd, Parquet with {kind}", command))
        return {kind: lines[0]["records_per_s"]}

    def train(self, model, steps, strategy, workers, mnist):
        """Images/s of a whole job, from its start to its end: its first step, its
        last checkpoint and its export are in it, which a peer's figure leaves out.
        """
        folder = tempfile.mkdtemp(prefix="tfd-bench-")
        tasks = {"worker": {"count": workers, "cpus": 1, "memory": "2GiB"}}
        if strategy == "parameter_server":
            tasks["ps"] = {"count": 1, "cpus": 0.5, "memory": "1GiB"}
            tasks["worker"]["cpus"] = 0.75
        spec = {
            "name": f"bench-{model}",
            "model": {"builtin": model, "classes": 10},
            "optimizer": {"name": "adam", "lr": 0.001},
            "strategy": strategy,
            "tasks": tasks,
            "data": {
                "preprocess": [{"scale": 1 / 255}],
                "train": {
                    "format": "idx",
                    "features": f"{mnist}/train-images-idx3-ubyte",
                    "labels": f"{mnist}/train-labels-idx1-ubyte",
                    "batch_size": BATCH,
                },
            },
            "stop": {"steps": steps},
            "checkpoint": {"every_steps": 0},
            "storage": f"{folder}/storage",
        }
        if model == "mlp":
            spec["model"]["hidden"] = [512]
        if model in ("cnn", "lenet", "resnet18"):
            spec["model"]["input"] = [1, 28, 28]
        path = pathlib.Path(folder) / "spec.yaml"
        # YAML has JSON in it.
        path.write_text(json.dumps(spec), encoding="utf-8")
        label = f"tfd, {model} with {strategy} and {workers} workers"
        try:
            output = run(label, [self.program("bin/tfd"), "run", path, "--json"])
        finally:
            shutil.rmtree(folder)
        job = json.loads(output)
        seconds = timestamp(job["ended_at"]) - timestamp(job["started_at"])
        return {model: int(job["step"]) * BATCH * workers / seconds}


def timestamp(text):
    """Seconds of an RFC 3339 time, which may have nanoseconds."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    moment = datetime.datetime.fromisoformat(whole + "+00:00")
    return moment.timestamp() + float(f"0.{fraction or 0}")


class Peers:
    """The programs in bench/peers, in the environment of bench/setup-peers."""

    def __init__(self):
        self.folder = cache_folder() / "peers"

    def run(self, label, script, *args, mnist=None):
        python = self.folder / "bin" / "python"
        if not (self.folder / "tfd-peers").exists():
            raise Missing("bench/setup-peers")
        environment = {**MALLOC, "OMP_NUM_THREADS": "1"}
        if mnist is not None:
            environment["TFD_MNIST_DIR"] = str(mnist)
        return json_lines(run(label, [python, PEERS / script, *args], environment))

    def gloo(self, processes, sizes, seconds):
        label = f"gloo, all-reduce of {processes}"
        args = [f"--seconds={seconds}", processes, *sizes]
        lines = self.run(label, "gloo_allreduce.py", *args)
        return {line["bytes"]: line["p50_us"] for line in lines}

    def tensorpipe(self, sizes, seconds):
        """Both kinds at once: {(kind, bytes): µs}."""
        args = [f"--seconds={seconds}", *sizes]
        lines = self.run("TensorPipe", "tensorpipe_push.py", *args)
        return {(line["kind"], line["bytes"]): line["p50_us"] for line in lines}

    def pyarrow(self, label, *args, mnist=None):
        """Lines of parquet_batches.py, in the environment of the tests."""
        python = cache_folder() / "venv" / "bin" / "python"
        if not python.exists():
            raise Missing("scripts/setup")
        environment = {"OMP_NUM_THREADS": "1"}
        if mnist is not None:
            environment["TFD_MNIST_DIR"] = str(mnist)
        command = [python, PEERS / "parquet_batches.py", *args]
        return json_lines(run(label, command, environment))

    def parquet_files(self, folder, mnist):
        """The files to read: {kind: path}."""
        lines = self.pyarrow("writing Parquet", "--write", folder, mnist=mnist)
        return {line["kind"]: line["file"] for line in lines}

    def parquet(self, kind, file, seconds, bare):
        args = [f"--seconds={seconds}", *(["--bare"] if bare else []), file]
        lines = self.pyarrow(f"pyarrow, Parquet with {kind}", *args)
        return {kind: lines[0]["records_per_s"]}

    def ddp(self, model, steps, mnist):
        label = f"PyTorch DDP, {model}"
        lines = self.run(label, "ddp_train.py", f"--steps={steps}", model, mnist=mnist)
        return {model: lines[0]["images_per_s"]}

    def tensorflow(self, model, steps, mnist):
        label = f"TensorFlow ParameterServerStrategy, {model}"
        args = (f"--steps={steps}", model)
        lines = self.run(label, "tf_ps_train.py", *args, mnist=mnist)
        return {model: lines[0]["images_per_s"]}
