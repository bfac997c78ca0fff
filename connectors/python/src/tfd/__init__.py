"""tfd's Python client: submits jobs, follows them, pushes data into them.
docs/python.md shows how."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tfd.errors import (
    DeadlineError,
    InvalidError,
    JobFailedError,
    NotFoundError,
    RefusedError,
    TfdError,
    UnavailableError,
)
if TYPE_CHECKING:
    from tfd.client import Client
    from tfd.feed import FeedResult
    from tfd.jobs import (
        Cause,
        Checkpoint,
        Dataset,
        Event,
        Exit,
        Job,
        JobState,
        LogLine,
        Task,
        TaskState,
    )
    from tfd.stream import Stream

# These need gRPC and are imported when they are used: executors of Spark, which
# only ask workers, may have none.
_MODULES = {
    "Client": "client",
    "FeedResult": "feed",
    "Cause": "jobs",
    "Checkpoint": "jobs",
    "Dataset": "jobs",
    "Event": "jobs",
    "Exit": "jobs",
    "Job": "jobs",
    "JobState": "jobs",
    "LogLine": "jobs",
    "Task": "jobs",
    "TaskState": "jobs",
    "Stream": "stream",
}

__all__ = [
    "Cause",
    "Checkpoint",
    "Client",
    "Dataset",
    "DeadlineError",
    "Event",
    "Exit",
    "FeedResult",
    "InvalidError",
    "Job",
    "JobFailedError",
    "JobState",
    "LogLine",
    "NotFoundError",
    "RefusedError",
    "Stream",
    "Task",
    "TaskState",
    "TfdError",
    "UnavailableError",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f"tfd.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
