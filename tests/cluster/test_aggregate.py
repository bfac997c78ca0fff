"""exchange.aggregate: node, on two agents that pretend to be two hosts."""

import json
import re

import pytest

from cluster import Cluster, other_host

WORKERS = 4
TASKS = (
    "{ps: {count: 1, cpus: 0.5}, worker: {count: 4, cpus: 1},"
    " evaluator: {count: 1, cpus: 0.5}}"
)
# So that each host has room for two workers, and not for three.
CPUS = "2.75"


def worker_logs(cluster, job_id):
    return {
        number: cluster.ok("logs", job_id, "--task", f"worker/{number}")
        for number in range(WORKERS)
    }


def bytes_sent(log):
    return int(re.search(r"sent (\d+) bytes", log).group(1))


def test_two_hosts_of_two_workers_send_half_and_learn_the_same(
    programs, spec_file
):
    # Short batches at the end of an epoch: 2,000 records are 15.6 steps of 128.
    spec = spec_file(tasks=TASKS, storage="{uri: storage, shared: true}")
    accuracy = {}
    sent = {}
    with Cluster(programs, "--cpus", CPUS) as cluster, other_host(cluster, CPUS):
        for how in ("none", "node"):
            job_id = f"with-{how}"
            cluster.ok(
                *("submit", spec, "--id", job_id, "--detach"),
                *("--set", f"exchange.aggregate={how}"),
                *("--set", f"storage.uri={how}"),
            )
            job = cluster.wait_for_state(job_id, "SUCCEEDED")
            nodes = {task["name"]: task["node"] for task in job["tasks"]}
            on = [nodes[f"worker/{number}"] for number in range(WORKERS)]
            assert sorted(on) == ["local", "local", "other", "other"]
            accuracy[how] = job["metrics"]["validation_accuracy"]
            logs = worker_logs(cluster, job_id)
            first = [on.index(node) for node in set(on)]
            sent[how] = sum(
                bytes_sent(log)
                for number, log in logs.items()
                if how == "none" or number in first
            )
            if how == "none":
                continue
            for number, log in logs.items():
                leader = on.index(on[number])
                line = f"worker/{number} of the 2 workers of its node, one of 2"
                assert line in log
                assert f"worker/{leader} sums" in log
                # Within a host nothing goes over a socket.
                assert "with 1 of 1 shards through memory" in log
    assert accuracy["none"] > 0.95
    assert accuracy["node"] == pytest.approx(accuracy["none"], abs=0.02)
    assert sent["node"] == pytest.approx(sent["none"] / 2, rel=0.05)


def test_a_job_with_sums_of_nodes_is_resumed(programs, spec_file):
    """On one host: a single leader, and the evaluator beside it."""
    spec = spec_file(exchange="{aggregate: node}", stop="{steps: 40}")

    def run(*flags):
        result = programs.tfd("run", spec, "--json", *flags)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    assert int(run()["step"]) == 40
    job = run("--resume", "--set", "stop.steps=96")
    assert int(job["step"]) == 96
    assert job["metrics"]["validation_accuracy"] > 0.95
