"""Jobs, their tasks, datasets and events, as the coordinator tells them."""

from __future__ import annotations

import datetime
import enum
import signal
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import json_format

from tfd.v1 import coordinator_pb2, job_pb2


class JobState(str, enum.Enum):
    """Where a job is in its life."""

    SUBMITTED = "SUBMITTED"
    QUEUED = "QUEUED"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    RESTARTING = "RESTARTING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    #: Of a coordinator that is newer than this package.
    UNKNOWN = "UNKNOWN"

    @property
    def ended(self) -> bool:
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)

    def __str__(self) -> str:
        return self.value


class TaskState(str, enum.Enum):
    """Where a task is in its life."""

    PENDING = "PENDING"
    ASSIGNED = "ASSIGNED"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    LOST = "LOST"
    CANCELLED = "CANCELLED"
    #: Of a coordinator that is newer than this package.
    UNKNOWN = "UNKNOWN"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Exit:
    """How a task's process ended."""

    #: EXITED, SIGNALED, START_FAILED or NODE_LOST.
    kind: str
    code: int
    signal: int
    #: What the task itself said was wrong.
    message: str
    #: Of its standard error, or output.
    last_lines: tuple[str, ...]

    def __str__(self) -> str:
        if self.kind == "EXITED":
            return f"exit code {self.code}"
        if self.kind == "SIGNALED":
            try:
                return f"killed by {signal.Signals(self.signal).name}"
            except ValueError:
                return f"killed by signal {self.signal}"
        return {
            "START_FAILED": "could not be started",
            "NODE_LOST": "its node is gone",
        }.get(self.kind, self.kind)


@dataclass(frozen=True)
class Cause:
    """Why a job failed: the first failing task and what happened to it."""

    #: Empty where it was no task.
    task: str
    message: str
    exit: Exit | None

    def __str__(self) -> str:
        text = self.message
        if self.task:
            # The coordinator's words begin with how it ended in most cases.
            how = str(self.exit) if self.exit else ""
            failed = f"{self.task} failed" + (f" ({how})" if how not in text else "")
            text = f"{failed}: {text}" if text else failed
        if self.exit and self.exit.last_lines:
            text += "\nits last lines:\n  " + "\n  ".join(self.exit.last_lines)
        return text


@dataclass(frozen=True)
class Task:
    """One process of a job."""

    #: ROLE/NUMBER, e.g. worker/0.
    name: str
    state: TaskState
    reason: str
    node: str
    pid: int
    exit: Exit | None


@dataclass(frozen=True)
class Checkpoint:
    """The newest committed one."""

    step: int
    uri: str


@dataclass(frozen=True)
class Dataset:
    """What has been pushed of one dataset so far."""

    name: str
    #: Every producer has committed.
    complete: bool
    rows: int
    partitions: int
    #: The names of its producers, those that have committed as well.
    producers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Job:
    """A job as it was when the coordinator was asked."""

    id: str
    name: str
    state: JobState
    #: Why it is in this state.
    reason: str
    #: The newest value of each; those of the validation data begin with
    #: "validation_".
    metrics: dict[str, float]
    tasks: tuple[Task, ...]
    #: Steps that have been applied, and all there will be (0: not known).
    step: int
    total_steps: int
    #: Passes over the training data so far.
    epoch: float
    submitted_at: datetime.datetime | None
    started_at: datetime.datetime | None
    ended_at: datetime.datetime | None
    checkpoint: Checkpoint | None
    #: Where the model is; empty until it is exported.
    export_uri: str
    #: Why it failed, if it has.
    cause: Cause | None
    #: Those that are pushed.
    datasets: tuple[Dataset, ...]
    owner: str
    #: tfd.v1.Job, with all there is.
    message: Any = field(repr=False, compare=False)

    @property
    def ended(self) -> bool:
        return self.state.ended

    @property
    def spec(self) -> dict[str, Any]:
        """The spec, with defaults filled in; empty in a list of jobs."""
        spec: dict[str, Any] = json_format.MessageToDict(
            self.message.spec, preserving_proto_field_name=True
        )
        return spec


@dataclass(frozen=True)
class Event:
    """Something that happened to a job."""

    #: Grows; where to go on from.
    sequence: int
    time: datetime.datetime
    job: str
    #: Empty where it is about the job as a whole.
    task: str
    #: A short name for programs, e.g. JobSubmitted.
    kind: str
    #: For people.
    message: str

    def __str__(self) -> str:
        local = self.time.astimezone().strftime("%H:%M:%S")
        return f"{local}  {self.task or '-':12} {self.kind:22} {self.message}"


@dataclass(frozen=True)
class LogLine:
    """A line that a task wrote, without its line end."""

    task: str
    #: STDOUT or STDERR.
    stream: str
    text: str


def _time(message: Any, name: str) -> datetime.datetime | None:
    if not message.HasField(name):
        return None
    time: datetime.datetime = getattr(message, name).ToDatetime(
        tzinfo=datetime.timezone.utc
    )
    return time


def _exit(message: Any) -> Exit | None:
    if not message.HasField("exit"):
        return None
    ended = message.exit
    return Exit(
        kind=job_pb2.ExitCause.Kind.Name(ended.kind),
        code=ended.code,
        signal=ended.signal,
        message=ended.message,
        last_lines=tuple(ended.last_lines),
    )


def _job_state(number: int) -> JobState:
    found = job_pb2.JobState.DESCRIPTOR.values_by_number.get(number)
    name = found.name if found else ""
    return JobState(name) if name in JobState.__members__ else JobState.UNKNOWN


def _task_state(number: int) -> TaskState:
    found = job_pb2.TaskState.DESCRIPTOR.values_by_number.get(number)
    name = found.name.removeprefix("TASK_") if found else ""
    return TaskState(name) if name in TaskState.__members__ else TaskState.UNKNOWN


def decode_job(message: Any) -> Job:
    """From tfd.v1.Job."""
    cause, checkpoint = message.cause, message.checkpoint
    return Job(
        id=message.id,
        name=message.name,
        state=_job_state(message.state),
        reason=message.reason,
        metrics=dict(message.metrics),
        tasks=tuple(
            Task(
                name=task.name,
                state=_task_state(task.state),
                reason=task.reason,
                node=task.node,
                pid=task.pid,
                exit=_exit(task),
            )
            for task in message.tasks
        ),
        step=message.step,
        total_steps=message.total_steps,
        epoch=message.epoch,
        submitted_at=_time(message, "submitted_at"),
        started_at=_time(message, "started_at"),
        ended_at=_time(message, "ended_at"),
        checkpoint=Checkpoint(checkpoint.step, checkpoint.uri)
        if message.HasField("checkpoint")
        else None,
        export_uri=message.export_uri,
        cause=Cause(cause.task, cause.message, _exit(cause))
        if message.HasField("cause")
        else None,
        datasets=tuple(
            Dataset(
                d.name,
                d.complete,
                d.rows,
                len(d.partitions),
                tuple(producer.name for producer in d.producers),
            )
            for d in message.datasets
        ),
        owner=message.owner,
        message=message,
    )


def decode_event(message: Any) -> Event:
    """From tfd.v1.Event."""
    return Event(
        sequence=message.sequence,
        time=message.time.ToDatetime(tzinfo=datetime.timezone.utc),
        job=message.job,
        task=message.task,
        kind=message.kind,
        message=message.message,
    )


def decode_log_lines(message: Any) -> list[LogLine]:
    """From tfd.v1.LogLines; what is no UTF-8 is replaced."""
    stream = coordinator_pb2.LogLines.Stream.Name(message.stream)
    text = message.text.decode(errors="replace")
    # Not splitlines: a progress bar's "\r" ends no line.
    return [
        LogLine(message.task, stream, line)
        for line in text.removesuffix("\n").split("\n")
    ]
