"""tfd up, submit and everything one asks a cluster."""

import json
import signal
import subprocess

from processes import wait_for

LONG = "{epochs: 100000}"


def test_submit_is_idempotent_by_id(cluster, spec_file):
    spec = spec_file()
    first = json.loads(cluster.ok("submit", spec, "--id", "a", "--detach", "--json"))
    again = json.loads(cluster.ok("submit", spec, "--id", "a", "--detach", "--json"))
    assert first["id"] == again["id"] == "a"
    other = cluster.tfd(
        "submit", spec, "--id", "a", "--detach", "--set", "optimizer.lr=0.5"
    )
    assert other.returncode == 2
    assert "optimizer.lr" in other.stderr
    cluster.wait_for_state("a", "SUCCEEDED")


def test_submit_follows_to_the_end(cluster, spec_file):
    result = cluster.tfd("submit", spec_file())
    assert result.returncode == 0, result.stderr
    assert "accuracy" in result.stdout


def test_ctrl_c_detaches_and_the_job_goes_on(cluster, spec_file):
    process = cluster.programs.start("submit", spec_file(stop=LONG), "--id", "long")
    cluster_job = cluster.programs.tfd

    def known():
        return cluster_job("job", "long").returncode == 0

    wait_for(known, "the job to be known")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "detached" in errors
    cluster.wait_for_step("long", 5)
    cluster.ok("cancel", "long")
    job = cluster.wait_for_state("long", "CANCELLED")
    assert "cancel" in job["reason"]


def test_jobs_job_events_logs_and_nodes_tell_the_story(cluster, spec_file):
    cluster.ok("submit", spec_file(), "--id", "story")
    assert "story" in cluster.ok("jobs") and "SUCCEEDED" in cluster.ok("jobs")
    assert "worker/1" in cluster.ok("job", "story")
    events = cluster.ok("events", "story")
    for word in ("Submitted", "Placed", "Started", "Checkpoint", "Succeeded"):
        assert word in events, events
    assert "worker/0 | " in cluster.ok("logs", "story")
    tail = cluster.ok("logs", "story", "--task", "ps/0", "--tail", "1")
    assert len(tail.splitlines()) == 1
    nodes = json.loads(cluster.ok("nodes", "--json"))["nodes"]
    assert [node["state"] for node in nodes] == ["READY"]
    for line in cluster.ok("jobs").splitlines() + cluster.ok("nodes").splitlines():
        assert len(line) <= 100


def test_logs_and_events_follow_a_running_job(cluster, spec_file):
    cluster.ok("submit", spec_file(stop="{epochs: 20}"), "--id", "live", "--detach")
    logs = cluster.programs.start("logs", "live", "-f")
    events = cluster.ok("events", "live", "-f")
    assert "Succeeded" in events
    output, errors = logs.communicate(timeout=60)
    assert logs.returncode == 0, errors
    assert "worker/0 | " in output


def test_get_fetches_the_export(cluster, spec_file):
    cluster.ok("submit", spec_file(), "--id", "done")
    cluster.ok("get", "done", "-o", "model")
    names = sorted(path.name for path in (cluster.programs.folder / "model").iterdir())
    assert names == ["model.json", "model.pt", "model.safetensors"]
    again = cluster.tfd("get", "done", "-o", "model")
    assert again.returncode == 2 and "not empty" in again.stderr
    assert cluster.tfd("get", "nobody", "-o", "x").returncode == 2


def test_a_job_that_does_not_fit_waits_and_says_for_what(cluster, spec_file):
    spec = spec_file(tasks="{ps: {count: 1}, worker: {count: 500}}")
    cluster.ok("submit", spec, "--id", "big", "--detach")
    job = wait_for(
        lambda: (j := cluster.job("big"))["state"] == "QUEUED" and j, "QUEUED"
    )
    assert "cpu" in job["reason"] and "local" in job["reason"]
    cluster.ok("cancel", "big")


def test_a_killed_coordinator_finds_its_jobs_and_their_running_tasks(
    cluster, spec_file
):
    cluster.ok("submit", spec_file(), "--id", "ended")
    cluster.ok("submit", spec_file(stop=LONG, storage="long"), "--id", "long", "--detach")
    before = cluster.wait_for_step("long", 20)
    follower = cluster.programs.start("events", "long", "-f")
    first = follower.stdout.readline()  # It has found the coordinator.
    cluster.restart_coordinator()
    after = cluster.wait_for_step("long", int(before["step"]) + 200)
    assert cluster.job("ended")["state"] == "SUCCEEDED"

    def pids(job):
        return {task["name"]: task["pid"] for task in job["tasks"]}

    assert pids(after) == pids(before)
    assert after["generation"] == before["generation"]
    cluster.ok("cancel", "long")
    cluster.wait_for_state("long", "CANCELLED")
    output, errors = follower.communicate(timeout=30)
    assert follower.returncode == 0, errors
    kinds = [line.split()[2] for line in (first + output).splitlines()]
    assert kinds.count("JobSubmitted") == 1 and "JobCancelled" in kinds


def test_a_killed_agent_finds_its_tasks_again(cluster, spec_file):
    from processes import BIN, Process

    cluster.ok("submit", spec_file(stop=LONG), "--id", "long", "--detach")
    before = cluster.wait_for_step("long", 20)
    record = cluster.record()
    Process(record["agent_pid"], "tfd-agent", []).kill()
    state = cluster.programs.folder / ".local/state/tfd/up"
    with open(state / "logs" / "agent.log", "a") as log:
        agent = subprocess.Popen(
            [BIN / "tfd-agent", "--coordinator", record["address"]]
            + ["--state-dir", state / "agent", "--log-dir", state / "logs"]
            + ["--spool-dir", state / "spool", "--node", "local"]
            + ["--stop-tasks-on-exit"],
            stdout=log,
            stderr=log,
            env=cluster.programs.environment,
            start_new_session=True,
        )
    record["agent_pid"] = agent.pid
    (state / "cluster.json").write_text(json.dumps(record))
    after = cluster.wait_for_step("long", int(before["step"]) + 200)
    assert [task["pid"] for task in after["tasks"]] == [
        task["pid"] for task in before["tasks"]
    ]
    cluster.ok("cancel", "long")
    cluster.wait_for_state("long", "CANCELLED")
