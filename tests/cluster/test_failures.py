"""Each failure ends within seconds with one clear message, the right exit code,
and nothing left behind (the `programs` fixture looks)."""

import json
import os
import signal
import socket
import time

import pytest

from processes import run_until_training, tfd_processes, wait_for
from records import make_records, write_idx

LONG = "{epochs: 100000}"


def end(process, timeout=30):
    started = time.monotonic()
    output, errors = process.communicate(timeout=timeout)
    return process.returncode, output, errors, time.monotonic() - started


def test_a_spec_with_three_mistakes_names_all_three_with_their_places(
    programs, spec_file
):
    spec = spec_file(
        optimizer="{name: adma, lr: 0.01}",
        stop="{epochs: 0}",
        storage=None,
        storge="runs",
    )
    result = programs.tfd("run", spec)
    assert result.returncode == 2
    lines = result.stderr
    assert "adam" in lines and "storage" in lines and "epochs" in lines
    assert f"{spec}:4:" in lines, "file, line and column of the optimizer"


def test_a_missing_data_file_is_named_before_anything_starts(programs, spec_file):
    (programs.folder / "data" / "train-labels").unlink()
    result = programs.tfd("run", spec_file())
    assert result.returncode == 2
    assert "train-labels" in result.stderr
    assert not (programs.folder / "storage").exists()


def test_a_truncated_data_file_says_what_is_missing(programs, spec_file):
    path = programs.folder / "data" / "train-features"
    path.write_bytes(path.read_bytes()[:1000])
    result = programs.tfd("run", spec_file())
    assert result.returncode == 2
    assert "train-features" in result.stderr and "1,000" in result.stderr


def test_a_worker_that_raises_is_the_cause_with_its_last_lines(
    programs, spec_file, tmp_path
):
    """A label outside the classes, too far behind for the check to see."""
    images, labels = make_records(2000, seed=1)
    labels[1900] = 200
    write_idx(tmp_path / "data" / "train-labels", labels)
    result = programs.tfd("run", spec_file())
    assert result.returncode == 1
    assert "worker/" in result.stderr and "200" in result.stderr
    assert "record 1,900" in result.stderr or "record 1900" in result.stderr
    assert "last lines" in result.stderr


@pytest.mark.parametrize(
    "role,number", [("worker", signal.SIGKILL), ("ps", signal.SIGKILL)]
)
def test_a_killed_task_is_the_cause(programs, spec_file, role, number):
    spec = spec_file(stop=LONG, restart="{max_failures: 0}")
    process = run_until_training(programs, spec)
    programs.tasks(role)[0].kill(number)
    code, _, errors, seconds = end(process)
    assert code == 1
    assert f"{role}/" in errors and "killed by SIGKILL" in errors
    assert seconds < 10


def test_the_daemons_of_tfd_run_may_be_killed(programs, spec_file):
    """A coordinator and an agent that die are started again; the job goes on."""
    process = run_until_training(
        programs, spec_file(stop="{epochs: 60}"), "--json"
    )
    for name in ("tfd-coordinator", "tfd-agent"):
        daemons = [
            daemon
            for daemon in tfd_processes(programs.temp_folder)
            if daemon.program == name and "shim" not in daemon.arguments
        ]
        assert len(daemons) == 1
        daemons[0].kill()
    code, output, errors, _ = end(process, timeout=90)
    assert code == 0, errors
    assert json.loads(output)["state"] == "SUCCEEDED"


def test_a_taken_port_is_named(programs):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        result = programs.tfd("up", "--listen", address)
    assert result.returncode == 2
    assert address in result.stderr and "in use" in result.stderr


def test_a_coordinator_that_is_not_there_is_named(programs, spec_file):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    result = programs.tfd("submit", spec_file(), "--coordinator", address)
    assert result.returncode == 3
    assert address in result.stderr and "tfd up" in result.stderr
    result = programs.tfd("jobs")
    assert result.returncode == 3
    assert "tfd up" in result.stderr


def test_unknown_commands_and_flags_are_bad_input(programs, spec_file):
    result = programs.tfd("rnu")
    assert result.returncode == 2 and "did you mean run?" in result.stderr
    assert programs.tfd("run", spec_file(), "--sett", "a=b").returncode == 2
    result = programs.tfd("run", spec_file(), "--set", "optimizer.rl=1")
    assert result.returncode == 2 and "there is name, lr," in result.stderr


def interrupt_when(programs, spec, phase):
    """Starts tfd run and sends SIGINT as soon as `phase(process)` is true."""
    process = programs.start("run", spec)
    wait_for(lambda: phase(process), "the phase to interrupt")
    process.send_signal(signal.SIGINT)
    return end(process)


def has(program):
    def check(process):
        assert process.poll() is None, process.communicate()
        return any(
            found.program == program and "shim" not in found.arguments
            for found in tfd_processes()
            if os.path.exists(f"/proc/{found.pid}")
        )

    return check


@pytest.mark.parametrize(
    "phase", ["tfd", "tfd-worker", "tfd-coordinator", "tfd-agent", "tfd-ps"]
)
def test_ctrl_c_ends_every_phase_of_starting(programs, spec_file, phase):
    code, _, errors, seconds = interrupt_when(
        programs, spec_file(stop=LONG), has(phase)
    )
    # Before main has begun the signal itself ends the process: a shell's 130.
    assert code in (130, -signal.SIGINT), errors
    assert seconds < 10


def test_ctrl_c_while_training_cancels_the_job(programs, spec_file):
    process = run_until_training(programs, spec_file(stop=LONG))
    process.send_signal(signal.SIGINT)
    code, output, errors, seconds = end(process)
    assert code == 130
    assert "cancelling" in errors and "CANCELLED" in output
    assert seconds < 10


def test_a_second_ctrl_c_gives_up_at_once(programs, spec_file):
    process = run_until_training(programs, spec_file(stop=LONG))
    for task in programs.tasks("worker"):
        task.kill(signal.SIGSTOP)  # It will not end by itself in time.
    process.send_signal(signal.SIGINT)
    wait_for(lambda: "cancelling" in process.stderr.readline(), "the first")
    process.send_signal(signal.SIGINT)
    code, _, _, seconds = end(process)
    assert code == 130
    assert seconds < 15


def test_a_killed_tfd_run_leaves_no_process(programs, spec_file):
    process = run_until_training(programs, spec_file(stop=LONG))
    process.kill()
    process.communicate()
    wait_for(
        lambda: not tfd_processes(programs.temp_folder) and not programs.tasks(),
        "all processes to end",
    )
    for path in programs.temp_folder.iterdir():
        # A killed command cannot delete its folder.
        assert path.name.startswith("tfd-run-")
        import shutil

        shutil.rmtree(path)
