"""Which coordinator a client talks to: the one that the `tfd` command would."""

from __future__ import annotations

import json
import os
import pathlib
import re
from collections.abc import Mapping

from tfd.errors import InvalidError, UnavailableError

_EXPECTED = (
    "; an address is HOST:PORT, e.g. 127.0.0.1:7070, or the path of a Unix "
    "socket, e.g. unix:/run/tfd.sock"
)
_UNIX = "unix:"
_HOST_AND_PORT = re.compile(r"(?:[^\s/,:\[\]]+|\[[^\s\]]+\]):(?P<port>\d{1,5})")


def parse_address(text: str, source: str) -> str:
    """As gRPC wants it: HOST:PORT or unix:PATH."""
    if text.startswith(("/", _UNIX)):
        path = text.removeprefix(_UNIX).removeprefix("//")
        if path:
            return _UNIX + os.path.abspath(path)
    found = _HOST_AND_PORT.fullmatch(text)
    if found is None or not 0 < int(found["port"]) < 65536:
        raise InvalidError(f'{source}: "{text}" is no address{_EXPECTED}')
    return text


def flight_location(address: str) -> str:
    """The same address as Arrow Flight wants it."""
    if address.startswith(_UNIX):
        return "grpc+unix://" + address.removeprefix(_UNIX)
    return "grpc+tcp://" + address


def _folder(variables: Mapping[str, str], name: str, default: str) -> pathlib.Path:
    base = variables.get(name)
    return pathlib.Path(base or os.path.join(variables.get("HOME", ""), default))


def _from_config(path: pathlib.Path) -> str:
    import yaml  # Whoever has an address, as Spark's executors do, needs none.

    try:
        config = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InvalidError(
            f"{path}: {error}; it should read `coordinator: HOST:PORT`"
        ) from error
    found = config.get("coordinator") if isinstance(config, dict) else None
    return str(found or "")


def _from_background_cluster(path: pathlib.Path) -> str:
    """The address of the cluster of `tfd up`, if it is alive."""
    try:
        record = json.loads(path.read_text())
        program = os.readlink(f"/proc/{int(record['coordinator_pid'])}/exe")
        # Pids are used again.
        alive = os.path.basename(program).startswith("tfd-coordinator")
        return str(record["address"]) if alive else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def find_coordinator(
    address: str | None = None, variables: Mapping[str, str] | None = None
) -> str:
    """The first there is of: `address`, TFD_COORDINATOR, `coordinator:` in
    ~/.config/tfd/config.yaml, the cluster that `tfd up` started."""
    variables = os.environ if variables is None else variables
    if address:
        return parse_address(address, "address")
    if found := variables.get("TFD_COORDINATOR"):
        return parse_address(found, "TFD_COORDINATOR")
    config = _folder(variables, "XDG_CONFIG_HOME", ".config") / "tfd/config.yaml"
    if found := _from_config(config):
        return parse_address(found, str(config))
    state = _folder(variables, "XDG_STATE_HOME", ".local/state")
    if found := _from_background_cluster(state / "tfd/up/cluster.json"):
        return found
    raise UnavailableError(
        "no coordinator is known: start one on this machine with `tfd up`, or "
        'name one with Client("HOST:PORT"), TFD_COORDINATOR, or '
        f"`coordinator: HOST:PORT` in {config}"
    )
