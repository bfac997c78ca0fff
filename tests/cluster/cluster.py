"""A cluster of one machine in the background."""

import contextlib
import json
import subprocess

from processes import BIN, Process, wait_for


class Cluster:
    """`tfd up` in the programs' environment; `tfd down` at the end."""

    def __init__(self, programs, *flags):
        self.programs = programs
        self.flags = flags

    def __enter__(self):
        result = self.programs.tfd("up", "--listen", "127.0.0.1:0", *self.flags)
        assert result.returncode == 0, result.stderr
        return self

    def __exit__(self, *unused):
        result = self.programs.tfd("down", "--force")
        assert result.returncode == 0, result.stderr

    def tfd(self, *arguments, timeout=120):
        return self.programs.tfd(*arguments, timeout=timeout)

    def ok(self, *arguments, timeout=120):
        """The standard output of a command that must succeed."""
        result = self.tfd(*arguments, timeout=timeout)
        assert result.returncode == 0, result.stderr
        return result.stdout

    def job(self, job_id):
        return json.loads(self.ok("job", job_id, "--json"))

    def wait_for_state(self, job_id, *states, timeout=60):
        def reached():
            job = self.job(job_id)
            ended = job["state"] in ("SUCCEEDED", "FAILED", "CANCELLED")
            assert not ended or job["state"] in states, job
            return job if job["state"] in states else None

        return wait_for(reached, f"{job_id} to be {states}", timeout)

    def wait_for_step(self, job_id, step, timeout=60):
        def reached():
            job = self.job(job_id)
            assert job["state"] != "FAILED", job
            return job if int(job.get("step", 0)) >= step else None

        return wait_for(reached, f"{job_id} to be at step {step}", timeout)

    def record(self):
        path = self.programs.folder / ".local/state/tfd/up/cluster.json"
        return json.loads(path.read_text())

    def restart_coordinator(self):
        """Kills it (SIGKILL) and starts it again on the same state folder."""
        record = self.record()
        Process(record["coordinator_pid"], "tfd-coordinator", []).kill()
        state = self.programs.folder / ".local/state/tfd/up"
        address = state / "address"
        listen = address.read_text().splitlines()[-1]
        address.unlink()
        with open(state / "logs" / "coordinator.log", "a") as log:
            process = subprocess.Popen(
                [BIN / "tfd-coordinator", "--state-dir", state / "coordinator"]
                + ["--listen", listen, "--address-file", address],
                stdout=log,
                stderr=log,
                env=self.programs.environment,
                start_new_session=True,
            )
        wait_for(address.exists, "the coordinator's address")
        record["coordinator_pid"] = process.pid
        (state / "cluster.json").write_text(json.dumps(record))
        self.coordinator = process


@contextlib.contextmanager
def other_host(cluster, cpus):
    """A second agent; its tasks believe that they run on another machine."""
    programs = cluster.programs
    state = programs.folder / "other"
    state.mkdir()
    with open(state / "agent.log", "w") as log:
        agent = subprocess.Popen(
            [BIN / "tfd-agent", "--coordinator", cluster.record()["address"]]
            + ["--state-dir", state / "agent", "--log-dir", state / "logs"]
            + ["--node", "other", "--offer", f"cpus={cpus},memory=16GiB"]
            + ["--stop-tasks-on-exit"],
            stdout=log,
            stderr=log,
            env={**programs.environment, "TFD_HOST_ID": "other"},
            start_new_session=True,
        )
    try:
        wait_for(
            lambda: cluster.ok("nodes").count("READY") == 2, "the other agent"
        )
        yield state / "logs"
    finally:
        agent.terminate()
        agent.wait(timeout=20)
