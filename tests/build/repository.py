"""The repository's files, for the tests about the build itself."""

import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("TFD_BUILD_DIR", ROOT / "build/release"))


def files(*suffixes):
    """Paths, relative to the root, of the files that are or would be tracked."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return sorted(
        path for path in set(listed.split("\0")) - {""}
        if path.endswith(suffixes or ("",)) and (ROOT / path).is_file())


def text(path):
    """A file's text; what is no UTF-8 is replaced."""
    return (ROOT / path).read_text(encoding="utf-8", errors="replace")


def program(name):
    """The path of a built program.

    Where scripts/test names the build folder it must be there; in a run by hand
    the test is skipped without it.
    """
    path = BUILD / "bin" / name
    if not path.exists() and "TFD_BUILD_DIR" in os.environ:
        pytest.fail(f"{path} was not built")
    if not path.exists():
        pytest.skip(f"{path} is not built")
    return path
