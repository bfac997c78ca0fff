"""A shard that stops bounds its workers' memory: what cannot be sent stays where it
is and is not copied."""

import os
import pathlib
import signal

import pytest

from processes import run_until_training, wait_for

# 64 × 7,000 + 7,000 × 7,000 + 7,000 × 4 parameters: 200 MB.
MODEL_BYTES = 198e6


def memory_bytes(pid, name):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"process {pid} has no {name}")


def cpu_ticks(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@pytest.mark.parametrize("transport", ["auto", "tcp"])
def test_a_stopped_shard_bounds_its_workers_memory(programs, spec_file, transport):
    spec = spec_file(
        model="{builtin: mlp, hidden: [7000, 7000], classes: 4}",
        optimizer="{name: sgd, lr: 0.01}",
        tasks="{ps: {count: 1, memory: 2GiB}, worker: {count: 1, memory: 2GiB}}",
        stop="{epochs: 100000}",
        exchange=f"{{transport: {transport}}}",
        checkpoint="{every_steps: 0}",
    )
    process = run_until_training(programs, spec)
    (server,) = programs.tasks("ps")
    (worker,) = programs.tasks("worker")
    # Parameters and gradients: the test would say nothing of a smaller model.
    before = memory_bytes(worker.pid, "VmHWM")
    assert before > 2 * MODEL_BYTES
    os.kill(server.pid, signal.SIGSTOP)
    try:
        # It has pushed what it could, and waits: in twenty looks it has not
        # computed at all.
        ticks = []

        def waits():
            ticks.append(cpu_ticks(worker.pid))
            return len(ticks) > 20 and ticks[-1] - ticks[-20] <= 1

        wait_for(waits, "the worker to wait")
        assert memory_bytes(worker.pid, "VmHWM") < 1.2 * before
    finally:
        os.kill(server.pid, signal.SIGCONT)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
