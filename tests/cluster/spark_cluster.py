"""A standalone Spark cluster of one machine, and drivers that run on it."""

import json
import os
import pathlib
import re
import select
import signal
import subprocess

from processes import BIN, wait_for

REPOSITORY = pathlib.Path(__file__).parents[2]
JAR = pathlib.Path(
    os.environ.get("TFD_SPARK_JAR", REPOSITORY / "build/connectors/spark/tfd-spark.jar")
)
HOST = "127.0.0.1"
# Spark speculates only on another host than where a task runs already.
WORKER_HOSTS = ("127.0.0.1", "127.0.0.2")
START_SECONDS = 60
ORDER_SECONDS = 120
# In a spec: MNIST's test images.
VALIDATION = (
    "format: idx, features: '${TFD_MNIST_DIR}/t10k-images-idx3-ubyte',"
    " labels: '${TFD_MNIST_DIR}/t10k-labels-idx1-ubyte'"
)


def cache_folder():
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(os.environ.get("TFD_CACHE_DIR") or pathlib.Path(base) / "tfd")


def environments():
    """Version → folder of the Spark environments that scripts/connectors made, the
    newest first."""
    found = {}
    for stamp in cache_folder().glob("spark-*/tfd-spark"):
        found[stamp.parent.name.removeprefix("spark-")] = stamp.parent

    def numbers(item):
        return [int(number) for number in item[0].split(".")]

    return dict(sorted(found.items(), key=numbers, reverse=True))


class SparkCluster:
    """A master and two workers of one core, each with a folder below `folder`."""

    def __init__(self, environment, folder, memory="1g"):
        self.memory = memory
        self.python = environment / "bin" / "python"
        (self.home,) = environment.glob("lib/python3*/site-packages/pyspark")
        self.folder = folder
        self.processes = []
        self.environment = {
            # A driver submits specs by tfd.
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "HOME": str(folder),
            "SPARK_HOME": str(self.home),
            "SPARK_LOCAL_IP": HOST,
            "SPARK_LOCAL_DIRS": str(folder / "local"),
            "PYSPARK_PYTHON": str(self.python),
            # The Python client; executors get it from the driver.
            "PYTHONPATH": str(REPOSITORY / "build" / "python" / "site"),
            # Small JVMs that start quickly; nothing here runs for long.
            "SPARK_DAEMON_MEMORY": "256m",
            "SPARK_DAEMON_JAVA_OPTS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        }
        # What specs name, and which Java.
        for name in ("TFD_MNIST_DIR", "JAVA_HOME"):
            if name in os.environ:
                self.environment[name] = os.environ[name]

    def __enter__(self):
        try:
            log = self._daemon("master", "--port", "0")
            self.master = self._said(log, r"Starting Spark master at (spark://\S+)")
            self._said(log, r"New state: (ALIVE)")
            for host in WORKER_HOSTS:
                self._daemon(
                    "worker",
                    *("--cores", "1", "--memory", self.memory),
                    *("--work-dir", self.folder / f"work-{host}"),
                    self.master,
                    host=host,
                )
            wait_for(
                lambda: log.read_text().count("Registering worker") == len(WORKER_HOSTS),
                "Spark's workers",
                START_SECONDS,
            )
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *unused):
        # Workers first: they end their executors.
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        left = wait_for(lambda: not self.executors() or self.executors(), "executors")
        for pid in left if left is not True else []:
            os.kill(pid, signal.SIGKILL)

    def _daemon(self, kind, *arguments, host=HOST):
        log = self.folder / f"{kind}-{len(self.processes)}.log"
        name = f"org.apache.spark.deploy.{kind}.{kind.capitalize()}"
        with open(log, "w") as output:
            self.processes.append(
                subprocess.Popen(
                    [self.home / "bin" / "spark-class", name, "--host", host]
                    + ["--webui-port", "0", *map(str, arguments)],
                    cwd=self.folder,
                    env={**self.environment, "SPARK_LOCAL_IP": host},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
            )
        return log

    def _said(self, log, pattern):
        def found():
            assert self.processes[-1].poll() is None, log.read_text()
            return re.search(pattern, log.read_text())

        return wait_for(found, f"{pattern} in {log}", START_SECONDS).group(1)

    def executors_said(self):
        """What is in the logs of all executors."""
        logs = sorted(self.folder.glob("work-*/app-*/*/stderr"))
        return "".join(log.read_text() for log in logs)

    def executors(self):
        """The process ids of all executors' JVMs."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                command = (entry / "cmdline").read_bytes()
                cwd = os.readlink(entry / "cwd")
            except OSError:
                continue
            if b"CoarseGrainedExecutorBackend" in command and str(self.folder) in cwd:
                found.append(int(entry.name))
        return found


class Driver:
    """A Spark application; see spark_driver.py. Rows are given as Parquet files."""

    def __init__(self, spark, **conf):
        session = {
            "spark.master": spark.master,
            "spark.app.name": "tfd-test",
            "spark.ui.enabled": "false",
            "spark.driver.host": HOST,
            "spark.driver.bindAddress": HOST,
            "spark.driver.memory": "1g",
            "spark.executor.memory": "512m",
            "spark.driver.extraClassPath": str(JAR),
            "spark.executor.extraClassPath": str(JAR),
            "spark.sql.shuffle.partitions": "4",
            # All executors are there before the first task.
            "spark.scheduler.minRegisteredResourcesRatio": "1.0",
            **conf,
        }
        self.log = open(spark.folder / f"driver-{id(self)}.log", "w+")
        self.process = subprocess.Popen(
            [spark.python, pathlib.Path(__file__).with_name("spark_driver.py")],
            cwd=spark.folder,
            env=spark.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )
        self.start({"session": session})
        self.pid = self.answer()["pid"]

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.stdin.close()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.log.close()

    def start(self, order):
        """Gives an order without waiting for it."""
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()

    def answer(self, timeout=ORDER_SECONDS):
        ready, _, _ = select.select([self.process.stdout], [], [], timeout)
        line = self.process.stdout.readline() if ready else ""
        assert line, f"no answer from the driver:\n{self.said()[-8000:]}"
        return json.loads(line)

    def do(self, name, **order):
        """One of spark_driver.py's ORDERS; gives its answer, which is no error."""
        self.start({"do": name, **order})
        answer = self.answer()
        assert "error" not in answer, answer["error"][:4000]
        return answer

    def do_refused(self, name, **order):
        """The first line of the exception that it ends with."""
        self.start({"do": name, **order})
        answer = self.answer()
        assert "error" in answer, answer
        return first_line(answer["error"])

    def write(self, parquet, **order):
        """Writes rows; gives what the driver has answered, which is no error."""
        self.start({"parquet": str(parquet), **order})
        answer = self.answer()
        assert "error" not in answer, answer["error"][:4000]
        return answer

    def failed(self, parquet, **order):
        """The exception that a write ends with."""
        self.start({"parquet": str(parquet), **order})
        answer = self.answer()
        assert "error" in answer, answer
        return answer["error"]

    def refused(self, parquet, **order):
        """Its first line."""
        return first_line(self.failed(parquet, **order))

    def said(self):
        """What is in its log."""
        return pathlib.Path(self.log.name).read_text()


def first_line(error):
    """Of the exception itself: py4j says before it which call raised it."""
    lines = error.strip().splitlines()
    if lines[0].startswith("An error occurred while calling"):
        lines = lines[1:]
    return lines[0]
