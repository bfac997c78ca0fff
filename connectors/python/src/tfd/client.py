"""`tfd.Client`: a cluster as Python sees it."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
import pyarrow

from tfd import errors, flight, spec_file
from tfd import predict as prediction
from tfd.address import find_coordinator
from tfd.feed import Feed, FeedResult
from tfd.jobs import (
    Event,
    Job,
    JobState,
    LogLine,
    decode_event,
    decode_job,
    decode_log_lines,
)
from tfd.stream import Stream
from tfd.tables import Data, Rows, to_table
from tfd.v1 import coordinator_pb2, coordinator_pb2_grpc

if TYPE_CHECKING:
    import pandas

# Of one call.
_CALL_SECONDS = 20.0
# How long a stream goes on without a coordinator, which may be restarting.
_PATIENCE_SECONDS = 60.0
_RETRY_SECONDS = 0.2
# As common/net/channel.cc has them.
_CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 5000),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.keepalive_time_ms", 20000),
    ("grpc.keepalive_timeout_ms", 20000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.enable_http_proxy", 0),
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.enable_retries", 0),
]

_T = TypeVar("_T")


def _id(job: Job | str) -> str:
    return job.id if isinstance(job, Job) else job


def _columns(job: Job, dataset: str) -> list[str]:
    """The columns that the job wants; no others are sent. Of a dataset that is
    not pushed none: the coordinator has the words for it."""
    if dataset not in ("train", "validation"):
        return []
    columns = dict(getattr(job.message.spec.data, dataset).columns)
    names = columns.get("features", "features").split(",")
    return [name.strip() for name in [*names, columns.get("label", "label")]]


class Client:
    """Talks to the coordinator at `address` ("HOST:PORT" or "unix:PATH"); absent:
    TFD_COORDINATOR, ~/.config/tfd/config.yaml, or the cluster of `tfd up`, like
    the `tfd` command. `token` goes along with every call.

    Thread-safe. Nothing is sent before the first call. Jobs are given by id, or
    as the Job that an earlier call gave. Raises TfdError."""

    def __init__(self, address: str | None = None, token: str | None = None) -> None:
        self.address = find_coordinator(address)
        self._token = token
        self._channel = grpc.insecure_channel(self.address, options=_CHANNEL_OPTIONS)
        make_stub: Callable[..., Any] = coordinator_pb2_grpc.CoordinatorStub
        self._stub = make_stub(self._channel)

    def close(self) -> None:
        self._channel.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def submit(
        self,
        spec: str | os.PathLike[str] | Mapping[str, Any],
        id: str | None = None,
        *,
        overrides: Mapping[str, Any] | None = None,
        resume: bool = False,
        overwrite: bool = False,
    ) -> Job:
        """Submits a job: the path of a YAML file, YAML text (of more than one
        line), or the same as a dict. `overrides` replaces fields of it:
        {"optimizer.lr": 0.01}. The same `id` and spec again give the same job."""
        message = spec_file.load(spec, overrides or {})
        message.resume |= resume
        message.overwrite |= overwrite
        request = coordinator_pb2.SubmitJobRequest(
            # Made here, so that a lost answer can be asked for again.
            id=id or f"{message.name or 'job'}-{secrets.token_hex(3)}",
            spec=message,
            owner=os.environ.get("USER", ""),
        )
        return decode_job(self._call(self._stub.SubmitJob, request))

    def jobs(self, active_only: bool = False) -> list[Job]:
        """All jobs, newest first; without their specs."""
        request = coordinator_pb2.ListJobsRequest(active_only=active_only)
        answer = self._call(self._stub.ListJobs, request)
        return [decode_job(job) for job in answer.jobs]

    def get(self, job: Job | str) -> Job:
        """A job as it is now."""
        request = coordinator_pb2.GetJobRequest(id=_id(job))
        return decode_job(self._call(self._stub.GetJob, request))

    def cancel(self, job: Job | str, reason: str = "cancelled from Python") -> Job:
        """Ends a job. Answers once that is decided; it ends soon afterwards."""
        request = coordinator_pb2.CancelJobRequest(id=_id(job), reason=reason)
        return decode_job(self._call(self._stub.CancelJob, request))

    def watch(self, job: Job | str, timeout: float | None = None) -> Iterator[Job]:
        """The job now and whenever it has changed, until it has ended."""
        request = coordinator_pb2.WatchJobRequest(id=_id(job))
        messages = self._stream(self._stub.WatchJob, request, timeout)
        return (decode_job(message) for message in messages)

    def follow(self, job: Job | str, timeout: float | None = None) -> Iterator[Event]:
        """What has happened to a job and what happens, until it has ended."""
        request = coordinator_pb2.ReadEventsRequest(id=_id(job), follow=True)
        for message in self._stream(self._stub.ReadEvents, request, timeout):
            # A stream that breaks goes on behind what was seen.
            request.from_sequence = message.sequence + 1
            yield decode_event(message)

    def wait(
        self, job: Job | str, timeout: float | None = None, check: bool = True
    ) -> Job:
        """The job once it has ended. Raises JobFailedError where it has not
        succeeded, unless `check` is false; DeadlineError after `timeout` s."""
        last: Job | None = None
        try:
            for last in self.watch(job, timeout):
                pass
        except errors.DeadlineError:
            state = f"{last.state} ({last.reason})" if last else "not known"
            raise errors.DeadlineError(
                f"job {_id(job)} has not ended in {timeout} s: it is {state}; it goes "
                "on, wait again or cancel it"
            ) from None
        if last is None or not last.ended:
            raise errors.UnavailableError(
                f"the coordinator at {self.address} stopped telling of job "
                f"{_id(job)} before it had ended; is it shutting down? wait again"
            )
        if check and last.state is not JobState.SUCCEEDED:
            why = str(last.cause) if last.cause else last.reason
            raise errors.JobFailedError(f"job {last.id} {last.state}: {why}", last)
        return last

    def logs(
        self,
        job: Job | str,
        task: str | None = None,
        follow: bool = False,
        tail: int = 0,
    ) -> Iterator[LogLine]:
        """What a job's tasks wrote (or one of them, e.g. "worker/0"), also after
        they ended; with `follow` until the job has ended, with `tail` only the
        last so many lines of each."""
        request = coordinator_pb2.ReadLogsRequest(
            id=_id(job), task=task or "", follow=follow, tail=tail
        )
        # Lines have no number to go on from, so a broken stream is an error.
        timeout = None if follow else _PATIENCE_SECONDS
        for message in self._stream(self._stub.ReadLogs, request, timeout, 0):
            yield from decode_log_lines(message)

    def export(self, job: Job | str) -> str:
        """Where the model of a job that has succeeded is: the folder with
        model.pt, model.safetensors and model.json."""
        found = self.get(job)
        if not found.export_uri:
            raise errors.RefusedError(
                f"job {found.id} has no export yet: it is {found.state} "
                f"({found.reason}); wait(job) waits for it"
            )
        return found.export_uri

    def feed(
        self,
        job: Job | str,
        dataset: str,
        data: Data,
        *,
        producer: str | None = None,
        partitions: int | None = None,
        partition_rows: int | None = None,
        parallel: int = 4,
        timeout: float = 300.0,
    ) -> FeedResult:
        """Pushes `data` into a dataset with `format: pushed`, each row exactly
        once, straight to the nodes where the job trains; returns when it is
        committed. See tfd.feed.Feed for what it takes and promises."""
        found = self.get(job)
        source = flight.DatasetClient(self.address, self._token, found.id, dataset)
        return Feed(
            source,
            _columns(found, dataset),
            producer=producer,
            parallel=parallel,
            timeout=timeout,
        ).push(data, partitions=partitions, partition_rows=partition_rows)

    def stream(
        self,
        job: Job | str,
        dataset: str = "train",
        *,
        producer: str = "python",
        parallel: int = 4,
        timeout: float = 300.0,
    ) -> Stream:
        """A producer of a dataset with `stream: true`. Its name stays the same when
        the program is run again. See tfd.stream.Stream."""
        found = self.get(job)
        source = flight.DatasetClient(self.address, self._token, found.id, dataset)
        return Stream(
            source,
            _columns(found, dataset),
            producer=producer,
            parallel=parallel,
            timeout=timeout,
        )

    def predict_table(
        self,
        job: Job | str,
        data: Rows,
        *,
        columns: Sequence[str] = (),
        timeout: float = 300.0,
    ) -> pyarrow.Table:
        """As predict, as an Arrow table."""
        source = flight.DatasetClient(
            self.address, self._token, _id(job), prediction.FLIGHT
        )
        table = to_table(data, columns)
        if columns:
            missing = [name for name in columns if name not in table.column_names]
            if missing:
                raise errors.InvalidError(
                    f"there is no column {', '.join(missing)}; there are "
                    f"{', '.join(table.column_names)}"
                )
        return prediction.predict(source, table, timeout)

    def predict(
        self,
        job: Job | str,
        data: Rows,
        *,
        columns: Sequence[str] = (),
        timeout: float = 300.0,
    ) -> pandas.DataFrame:
        """What a job that serves a model (`predict: {model: …}`, docs/predict.md)
        answers to rows: a row for each, in their order, with the columns
        `prediction` and `probability` and, where the job says top_k, `predictions`
        and `probabilities`, and a list for each of the job's `outputs`. `columns` are
        those with features; without them all are. Rows go straight to the job's
        workers, a share to each."""
        answers = self.predict_table(job, data, columns=columns, timeout=timeout)
        return answers.to_pandas()

    def _metadata(self) -> list[tuple[str, str]]:
        return [("authorization", f"Bearer {self._token}")] if self._token else []

    def _call(self, method: Callable[..., Any], request: Any) -> Any:
        try:
            return method(request, timeout=_CALL_SECONDS, metadata=self._metadata())
        except grpc.RpcError as error:
            raise errors.from_grpc(error, self.address) from None

    def _stream(
        self,
        method: Callable[..., Iterable[_T]],
        request: Any,
        timeout: float | None,
        patience: float = _PATIENCE_SECONDS,
    ) -> Iterator[_T]:
        """The messages of a stream; over a coordinator's restart, begun again with
        `request` as it then is."""
        deadline = None if timeout is None else time.monotonic() + timeout
        give_up = time.monotonic() + patience
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            call: Any = method(request, timeout=left, metadata=self._metadata())
            try:
                for message in call:
                    give_up = time.monotonic() + patience
                    yield message
                return
            except grpc.RpcError as error:
                if timeout is not None and errors.code_of(error) == "DEADLINE_EXCEEDED":
                    raise errors.DeadlineError(
                        f"the {timeout:g} s that were given are over",
                        "DEADLINE_EXCEEDED",
                    ) from None
                away = errors.code_of(error) == "UNAVAILABLE"
                if not away or time.monotonic() > give_up:
                    raise errors.from_grpc(error, self.address) from None
            finally:
                # Also where the reader stops in the middle.
                call.cancel()
            time.sleep(_RETRY_SECONDS)
