"""The Python client reads specs as the tfd command does."""

import os
import pathlib

import pytest
from google.protobuf import json_format

from tfd import spec_file
from tfd.v1 import job_spec_pb2

REPOSITORY = pathlib.Path(__file__).parents[2]

SPECS = sorted(path.name for path in (REPOSITORY / "configs").glob("*.yaml"))


def assert_contained(part, whole, path=""):
    """Every field that is set in `part` has this value in `whole`."""
    for field, value in part.ListFields():
        other = getattr(whole, field.name)
        at = f"{path}.{field.name}"
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            assert value == other, at
        elif field.label == field.LABEL_REPEATED:
            assert len(value) == len(other), at
            for one, another in zip(value, other):
                assert_contained(one, another, at)
        else:
            assert whole.HasField(field.name), at
            assert_contained(value, other, at)


def assert_read_alike(programs, path, monkeypatch):
    """The client reads the spec as `tfd` does, which fills in the defaults too."""
    result = programs.tfd("validate", path, "--spec-only", "--json")
    assert result.returncode == 0, result.stderr
    theirs = json_format.Parse(result.stdout, job_spec_pb2.JobSpec())
    monkeypatch.chdir(programs.folder)
    ours = spec_file.load(path, {}, programs.environment)
    assert ours.ListFields()
    assert_contained(ours, theirs)


@pytest.mark.skipif("TFD_MNIST_DIR" not in os.environ, reason="needs TFD_MNIST_DIR")
@pytest.mark.parametrize("name", SPECS)
def test_every_example_is_read_as_the_tfd_command_reads_it(programs, monkeypatch, name):
    programs.environment["TFD_TORCHSCRIPT"] = "net.pt"
    assert_read_alike(programs, REPOSITORY / "configs" / name, monkeypatch)


ODD = """
name: odd
model: linear
optimizer: adam
tasks:
  ps: &ps {count: 2, cpus: 5e-1, memory: 1.5GiB}
  worker: {<<: *ps, memory: 2gb, count: 1}
  evaluator: {memory: 0.001tb}
data:
  train:
    format: pushed
    batch_size: 1e2
    timeout: 1h30m0.5s
    columns: {label: 'no', features: "${HOME}, $${b}"}
    spool_bytes: 3 MiB
  validation: {format: csv, path: "x-*.csv", columns: {label: no}, batch_size: 7}
  preprocess: [{scale: .5}, {normalise: {mean: 1, std: 2}}]
stop: {steps: 10, target: {metric: accuracy, at_least: 1}}
storage: ~/../out
trace: 7
resume: TRUE
"""


def test_units_and_shorthand_are_read_as_the_tfd_command_reads_them(
    programs, monkeypatch
):
    path = programs.folder / "odd.yaml"
    path.write_text(ODD)
    assert_read_alike(programs, path, monkeypatch)
