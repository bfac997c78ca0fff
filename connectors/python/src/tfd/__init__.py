"""tfd's Python client: submits jobs, follows them, pushes data into them.
docs/python.md shows how."""

from tfd.client import Client
from tfd.errors import (
    DeadlineError,
    InvalidError,
    JobFailedError,
    NotFoundError,
    RefusedError,
    TfdError,
    UnavailableError,
)
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
