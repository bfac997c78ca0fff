"""Everything that this package raises on purpose, and where it comes from: the
one place that knows gRPC's and Arrow Flight's exceptions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pyarrow

if TYPE_CHECKING:
    from tfd.jobs import Job


class TfdError(Exception):
    """What failed, which value, the likely cause, and what to do about it."""

    #: The name of gRPC's status code; empty where the mistake was found here.
    code: str

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class InvalidError(TfdError):
    """What was given is wrong: a spec, an address, data that do not fit."""


class NotFoundError(TfdError):
    """There is no such job, dataset, file or coordinator."""


class RefusedError(TfdError):
    """Right by itself, but not in this state, or not by you."""


class UnavailableError(TfdError):
    """Nobody answers there (any more)."""


class DeadlineError(TfdError):
    """It took longer than it was given."""


class JobFailedError(TfdError):
    """A job that was waited for has not succeeded; `job` says why."""

    job: Job

    def __init__(self, message: str, job: Job) -> None:
        super().__init__(message)
        self.job = job


# Another try may succeed: a process was away, or let go of something too late.
TRANSIENT = frozenset({"UNAVAILABLE", "ABORTED", "CANCELLED", "DEADLINE_EXCEEDED"})

_CLASSES: dict[str, type[TfdError]] = {
    "INVALID_ARGUMENT": InvalidError,
    "OUT_OF_RANGE": InvalidError,
    "NOT_FOUND": NotFoundError,
    "ALREADY_EXISTS": RefusedError,
    "FAILED_PRECONDITION": RefusedError,
    "RESOURCE_EXHAUSTED": RefusedError,
    "PERMISSION_DENIED": RefusedError,
    "UNAUTHENTICATED": RefusedError,
    "UNAVAILABLE": UnavailableError,
    "DEADLINE_EXCEEDED": DeadlineError,
}


def of_code(code: str, message: str) -> TfdError:
    """The exception for a status."""
    return _CLASSES.get(code, TfdError)(message, code)


def no_coordinator(address: str, why: str) -> UnavailableError:
    return UnavailableError(
        f"no coordinator answers at {address} ({why}); is it running? `tfd up` "
        "starts one on this machine; Client(address) or TFD_COORDINATOR names "
        "another",
        "UNAVAILABLE",
    )


def code_of(error: Any) -> str:
    """The status code of what gRPC has raised."""
    return str(error.code().name)


def from_grpc(error: Any, address: str) -> TfdError:
    """What a call to the coordinator at `address` has raised: a grpc.RpcError."""
    code, details = code_of(error), error.details() or "it says no more"
    if code in ("UNAVAILABLE", "DEADLINE_EXCEEDED"):
        return no_coordinator(address, details)
    return of_code(code, details)


# How Arrow Flight words the codes of gRPC that have no exception of their own.
_FLIGHT_CODES = {
    "invalid argument": "INVALID_ARGUMENT",
    "out-of-range": "OUT_OF_RANGE",
    "not found": "NOT_FOUND",
    "already exists": "ALREADY_EXISTS",
    "precondition failed": "FAILED_PRECONDITION",
    "resource exhausted": "RESOURCE_EXHAUSTED",
    "unauthorized": "PERMISSION_DENIED",
    "unauthenticated": "UNAUTHENTICATED",
    "unavailable": "UNAVAILABLE",
    "timeout": "DEADLINE_EXCEEDED",
    "aborted": "ABORTED",
    "cancelled": "CANCELLED",
    "internal": "INTERNAL",
    "unimplemented": "UNIMPLEMENTED",
    "data loss": "DATA_LOSS",
}
_FLIGHT_TEXT = re.compile(
    r"(?:(?:Flight|gRPC) (?:returned )?(?P<what>[a-z -]+?) (?:error|call),"
    r"|Flight RPC failed) with message: (?P<message>.*)",
    re.DOTALL,
)
# What Flight adds for those who debug it.
_FLIGHT_NOISE = re.compile(
    r"\. (?:gRPC client debug context|Client context|Additionally, could not)\b.*",
    re.DOTALL,
)


def from_flight(error: pyarrow.ArrowException) -> TfdError:
    """What a Flight call has raised. Anything of another kind than a status is
    raised as it is: it is no answer, but a mistake."""
    found = _FLIGHT_TEXT.search(str(error))
    if found is None:
        raise error
    code = _FLIGHT_CODES.get(found["what"] or "", "UNKNOWN")
    message = _FLIGHT_NOISE.sub("", found["message"])
    if code == "INTERNAL" and "RST_STREAM" in message:
        code = "UNAVAILABLE"  # a connection that broke, and no answer
    return of_code(code, message)
