"""tfd's Python client: submit jobs, follow them, push data into them.

    import tfd

    with tfd.Client() as client:
        job = client.submit("mnist.yaml")
        client.feed(job, "train", {"image": images, "label": labels})
        print(client.wait(job).metrics)
"""

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
    "Task",
    "TaskState",
    "TfdError",
    "UnavailableError",
]
