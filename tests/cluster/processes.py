"""Running tfd's programs, and finding what is left of them."""

import dataclasses
import os
import pathlib
import signal
import subprocess
import time

# A shell starts what runs in its background with SIGINT ignored, and children
# inherit that: Ctrl-C is to reach the programs under test.
signal.signal(signal.SIGINT, signal.default_int_handler)

BUILD_FOLDER = pathlib.Path(
    os.environ.get(
        "TFD_BUILD_DIR", pathlib.Path(__file__).parents[2] / "build" / "release"
    )
)
BIN = BUILD_FOLDER / "bin"


def wait_for(condition, what, timeout=30):
    """Calls `condition` until it gives something true, and gives that."""
    deadline = time.monotonic() + timeout
    while True:
        result = condition()
        if result:
            return result
        assert time.monotonic() < deadline, f"waited {timeout} s for {what}"
        time.sleep(0.02)


@dataclasses.dataclass
class Process:
    """A process of one of tfd's programs, seen in /proc."""

    pid: int
    program: str
    arguments: list

    def kill(self, number=signal.SIGKILL):
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            pass

    def alive(self):
        return any(other.pid == self.pid for other in tfd_processes())


def tfd_processes(folder=None):
    """All living processes of the built programs, or those whose arguments or
    working folder lie in `folder`."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            program = pathlib.Path(os.readlink(entry / "exe"))
            arguments = (entry / "cmdline").read_bytes().split(b"\0")
            working_folder = os.readlink(entry / "cwd")
        except OSError:
            continue
        if program.parent != BIN:
            continue
        arguments = [argument.decode() for argument in arguments]
        words = arguments + [working_folder]
        if folder is None or any(str(folder) in word for word in words):
            found.append(Process(int(entry.name), program.name, arguments))
    return found


def leftovers(folder, patience=5):
    """Processes that are still there some time after they should have ended."""
    deadline = time.monotonic() + patience
    while True:
        left = tfd_processes(folder)
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.05)


class Programs:
    """The built programs, run in `folder` with an environment of their own."""

    def __init__(self, folder):
        self.folder = folder
        # Unix sockets have short paths, pytest's folders long ones.
        self.temp_folder = pathlib.Path(
            subprocess.check_output(["mktemp", "-d", "/tmp/tfdt-XXXXXX"], text=True)
            .strip()
        )
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "TMPDIR": str(self.temp_folder),
            "USER": "tester",
        }
        for name in ("TFD_MNIST_DIR", "LANG"):
            if name in os.environ:
                self.environment[name] = os.environ[name]

    def start(self, *arguments, **options):
        """Starts tfd with its output captured."""
        return subprocess.Popen(
            [BIN / "tfd", *map(str, arguments)],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def tfd(self, *arguments, timeout=120):
        """Runs tfd to its end; gives a CompletedProcess."""
        process = self.start(*arguments)
        try:
            output, errors = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            output, errors = process.communicate()
            raise AssertionError(
                f"tfd {arguments} did not end in {timeout} s:\n{output}{errors}"
            ) from None
        return subprocess.CompletedProcess(
            arguments, process.returncode, output, errors
        )

    def tasks(self, role=""):
        """The living processes of this test's tasks, of one role or of all."""
        found = []
        for process in tfd_processes():
            try:
                folder = pathlib.Path(os.readlink(f"/proc/{process.pid}/cwd"))
            except OSError:
                continue  # It has just ended.
            ours = any(
                place in folder.parents for place in (self.temp_folder, self.folder)
            )
            # A task works in …/tasks/JOB/ROLE-NUMBER-gGENERATION.
            if ours and "tasks" in folder.parts and folder.name.startswith(role):
                if "shim" not in process.arguments:
                    found.append(process)
        return found


def run_until_training(programs, spec, *flags):
    """Starts tfd run and gives the process once workers have taken steps."""
    process = programs.start("run", spec, *flags)
    seen = []

    def training():
        assert process.poll() is None, process.communicate()
        line = process.stderr.readline()
        seen.append(line)
        return "step " in line

    wait_for(training, "the first step")
    return process
