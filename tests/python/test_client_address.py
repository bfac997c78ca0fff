"""The client finds the coordinator that the tfd command would."""

import json
import os

import pytest

import tfd
from tfd.address import find_coordinator, flight_location


@pytest.fixture
def home(tmp_path):
    """A home folder whose config file and record of `tfd up` name this address."""
    config = tmp_path / ".config" / "tfd" / "config.yaml"
    config.parent.mkdir(parents=True)
    config.write_text("coordinator: configured:3\n")
    record = tmp_path / ".local" / "state" / "tfd" / "up" / "cluster.json"
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({"coordinator_pid": os.getpid(), "address": "up:4"}))
    return tmp_path


def test_the_nearest_name_counts(home):
    variables = {"HOME": str(home), "TFD_COORDINATOR": "variable:2"}
    assert find_coordinator("argument:1", variables) == "argument:1"
    assert find_coordinator(None, variables) == "variable:2"
    del variables["TFD_COORDINATOR"]
    assert find_coordinator(None, variables) == "configured:3"


def test_a_cluster_that_is_not_alive_does_not_count(home):
    (home / ".config" / "tfd" / "config.yaml").unlink()
    # This process is there, and no coordinator.
    with pytest.raises(tfd.UnavailableError, match="tfd up.*TFD_COORDINATOR"):
        find_coordinator(None, {"HOME": str(home)})


def test_a_broken_config_file_is_named(home):
    path = home / ".config" / "tfd" / "config.yaml"
    path.write_text("{")
    with pytest.raises(tfd.InvalidError, match="(?s)config.yaml.*HOST:PORT"):
        find_coordinator(None, {"HOME": str(home)})


@pytest.mark.parametrize(
    "text", ["host", "http://host:1", ":7070", "host:0", "host:65536", "a b:1", "::1:8"]
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(tfd.InvalidError, match="is no address"):
        find_coordinator(text, {})


def test_unix_sockets_are_addresses_too():
    assert find_coordinator("/run/tfd.sock", {}) == "unix:/run/tfd.sock"
    assert find_coordinator("unix:///run/tfd.sock", {}) == "unix:/run/tfd.sock"
    assert flight_location("unix:/run/tfd.sock") == "grpc+unix:///run/tfd.sock"
    assert flight_location("[::1]:7070") == "grpc+tcp://[::1]:7070"
