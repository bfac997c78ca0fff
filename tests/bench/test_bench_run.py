"""bench/run: what it computes and prints, without measuring anything."""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))

import commands  # noqa: E402
import comparison  # noqa: E402
import scaling  # noqa: E402


def run(*args):
    return subprocess.run(
        [ROOT / "bench" / "run", *args], capture_output=True, text=True, check=False)


def test_list_names_each_benchmark():
    found = run("--list")
    assert found.returncode == 0
    names = [line.split()[0] for line in found.stdout.splitlines()]
    assert names == [
        "exchange", "allreduce", "tensorpipe", "training", "parameter-server", "parquet"]


def test_unknown_name_is_refused_with_the_known_ones():
    found = run("exchnage")
    assert found.returncode == 2
    assert "exchnage; there are exchange, allreduce" in found.stderr


def test_missing_programs_are_skipped_with_the_command_that_builds_them(tmp_path):
    found = run("exchange", "--build", tmp_path, "--output", tmp_path / "results.json")
    assert found.returncode == 1
    assert "run scripts/build release && scripts/build release bench" in found.stdout


def test_quartiles_are_interpolated():
    assert comparison.quartiles([4, 1, 3, 2, 5]) == (2, 3, 4)
    assert comparison.quartiles([1, 2]) == (1.25, 1.5, 1.75)
    assert comparison.quartiles([7]) == (7, 7, 7)


def test_ratio_is_the_median_of_the_pairs_and_not_of_the_runs():
    # The machine slowed down between the pairs: the ratio is 2 in each of them.
    line = comparison.Comparison(
        "b", "w", "us", 1.5, [(10, 20), (100, 200), (1000, 2000)])
    summary = line.summary()
    assert summary["ratio"] == 2
    assert summary["ratio_quartiles"] == [2, 2]
    assert summary["met"]


def test_more_images_are_better_and_more_microseconds_are_not():
    assert comparison.Comparison("b", "w", "us", 1, [(10, 30)]).ratios() == [3]
    assert comparison.Comparison("b", "w", "images/s", 1, [(30, 10)]).ratios() == [3]


def test_table_fits_100_columns():
    line = comparison.Comparison(
        "b", "all-reduce of 2, memory / gloo 64 MiB", "us", 4, [(27535.2, 1234567.8)])
    assert max(len(row) for row in comparison.table([line.summary()])) <= 100


def test_time_of_a_job_keeps_its_nanoseconds():
    begin = commands.timestamp("2024-05-01T10:00:00.250000001Z")
    end = commands.timestamp("2024-05-01T10:00:02Z")
    assert end - begin == pytest.approx(1.75, abs=1e-6)


def test_scaling_of_large_messages_is_bound_by_the_link():
    # 2 members: half of 64 MiB goes each way, twice.
    machine = scaling.Machine(link=1e9, latency=0, message=0)
    units = [(0.0, scaling.MIB)] * 64
    seconds = scaling.sharded_exchange(machine, 2, units)
    assert seconds == pytest.approx(64 * scaling.MIB / 1e9, rel=0.1)
    ring = scaling.ring_allreduce(machine, 2, [(0.0, 64 * scaling.MIB)])
    assert ring == pytest.approx(64 * scaling.MIB / 1e9, rel=0.3)


def test_scaling_hides_what_fits_into_backward():
    slow = scaling.Machine(link=1e8)
    fast = scaling.Machine(link=1e10)
    results = [
        scaling.efficiency(
            scaling.RESNET50, machine, 2, scaling.sharded_exchange, scaling.MIB)
        for machine in (slow, fast)]
    assert 0 < results[0][0] < 0.6 < 0.97 < results[1][0] < 1
    assert results[0][1] > results[1][1] > 0


def test_scaling_fits_the_real_figures_of_two_processes():
    measured = {4 << 10: 220.0, 64 << 20: 80_000.0}
    machine = scaling.fit(measured)
    for size, real in measured.items():
        assert scaling.one_machine(size, 2, machine) == pytest.approx(real, rel=0.02)
