"""`python -m tfd feed JOB DATASET FILE…`: the rows of files, pushed into a job."""

from __future__ import annotations

import argparse
import glob
import os
import sys
from collections.abc import Sequence

import pyarrow
import pyarrow.dataset

from tfd import errors
from tfd.client import Client

# As the `tfd` command has them.
_FAILED, _BAD_INPUT, _NO_COORDINATOR, _INTERRUPTED = 1, 2, 3, 130

_FORMATS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".arrow": "ipc",
    ".feather": "ipc",
    ".ipc": "ipc",
}


def _find_files(patterns: Sequence[str]) -> list[str]:
    """The files in the order given, those of a pattern in the order of names."""
    files: list[str] = []
    for pattern in patterns:
        # A file may have a * in its name.
        found = [pattern] if os.path.exists(pattern) else sorted(glob.glob(pattern))
        if not found:
            raise errors.NotFoundError(f"{pattern}: there is no such file")
        files += found
    return files


def open_files(
    patterns: Sequence[str], format: str | None = None
) -> pyarrow.dataset.Dataset:
    """Files of one format as one dataset."""
    files = _find_files(patterns)
    if format is None:
        found = {_FORMATS.get(os.path.splitext(file)[1].lower()) for file in files}
        if len(found) > 1:
            raise errors.InvalidError(
                f"{', '.join(patterns)}: these are of several formats; feed each by "
                "itself, or name one with --format"
            )
        format = found.pop()
        if format is None:
            raise errors.InvalidError(
                f"{files[0]}: what is in it? Its name ends with none of "
                f"{', '.join(_FORMATS)}; name the format with --format"
            )
    return pyarrow.dataset.dataset(files, format=format)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tfd")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    feed = commands.add_parser(
        "feed",
        help="push the rows of files into a running job",
        description="Pushes the rows of Parquet, CSV or Arrow IPC files into a "
        "dataset with `format: pushed`, each exactly once.",
        epilog="example: python -m tfd feed mnist-1 train 'part-*.parquet'",
    )
    feed.add_argument("job", metavar="JOB")
    feed.add_argument("dataset", metavar="DATASET", help="train or validation")
    feed.add_argument("files", metavar="FILE", nargs="+", help="or a pattern with *")
    feed.add_argument("--format", choices=sorted(set(_FORMATS.values())))
    feed.add_argument("--coordinator", metavar="HOST:PORT")
    feed.add_argument(
        "--producer", help="a name: run again with it, nothing is pushed twice"
    )
    feed.add_argument("--partition-rows", type=int, help="absent: about 64 MiB each")
    feed.add_argument("--parallel", type=int, default=4, help="partitions at a time")
    feed.add_argument(
        "--timeout", type=float, default=300.0, help="seconds without any progress"
    )
    return parser


def _feed(options: argparse.Namespace) -> None:
    data = open_files(options.files, options.format)
    with Client(options.coordinator) as client:
        result = client.feed(
            options.job,
            options.dataset,
            data,
            producer=options.producer,
            partition_rows=options.partition_rows,
            parallel=options.parallel,
            timeout=options.timeout,
        )
    before = f", {result.rows_before:,} of them before" if result.rows_before else ""
    print(
        f"{options.job}/{options.dataset}: {result.rows:,} rows in {result.partitions} "
        f"partitions{before}, committed by producer {result.producer} after "
        f"{result.seconds:.1f} s"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; gives its exit code."""
    options = _parser().parse_args(arguments)
    try:
        _feed(options)
        return 0
    except KeyboardInterrupt:
        print("interrupted: what was pushed is dropped", file=sys.stderr)
        return _INTERRUPTED
    except (errors.TfdError, pyarrow.ArrowException, OSError) as error:
        print(error, file=sys.stderr)
        if isinstance(error, errors.UnavailableError):
            return _NO_COORDINATOR
        given = (errors.InvalidError, errors.NotFoundError, pyarrow.ArrowException)
        return _BAD_INPUT if isinstance(error, given) else _FAILED
