"""The rules of style that a script can check."""

import pathlib
import re

import repository

MAX_MAIN_LINES = 40
MAX_FILE_LINES = 600
SOURCES = (".cc", ".h", ".py", ".java", ".proto", ".sh", ".js", ".css", ".cmake")

# Hosts that packages or images are fetched from. Clients know their own defaults,
# and a company's mirror is configured there and not here.
REGISTRIES = re.compile(
    r"\b(?:"
    r"pypi\.(?:org|python\.org)|files\.pythonhosted\.org|registry\.npmjs\.org"
    r"|registry\.yarnpkg\.com|repo1?\.maven\.(?:org|apache\.org)"
    r"|(?:deb|security|ftp)\.debian\.org|archive\.ubuntu\.com|conda\.anaconda\.org"
    r"|download\.pytorch\.org|docker\.io|ghcr\.io|quay\.io|gcr\.io"
    r"|proxy\.golang\.org|crates\.io"
    r")")


def test_main_is_short():
    mains = [path for path in repository.files("main.cc")]
    long = {path: lines for path in mains
            if (lines := repository.text(path).count("\n")) > MAX_MAIN_LINES}
    assert not long


def test_no_file_is_long():
    long = {path: lines for path in repository.files(*SOURCES)
            if (lines := repository.text(path).count("\n")) > MAX_FILE_LINES}
    assert not long


def test_no_file_names_a_registry():
    own = "tests/build/test_shape.py"
    named = [
        f"{path}: {found.group()}"
        for path in repository.files() if path != own
        for found in [REGISTRIES.search(repository.text(path))] if found]
    assert not named


def test_cmake_lists_its_sources():
    globbing = [
        path for path in repository.files("CMakeLists.txt", ".cmake")
        if re.search(r"file\s*\(\s*GLOB(_RECURSE)?\s[^)]*\.cc", repository.text(path))]
    assert not globbing


def test_every_source_is_built():
    """A .cc that no CMakeLists.txt names would be neither compiled nor tested."""
    built = set()
    for path in repository.files("CMakeLists.txt", ".cmake"):
        folder = pathlib.PurePath(path).parent
        for name in re.findall(r"[^\s()\"]+\.cc\b", repository.text(path)):
            root, inside = name.partition("${PROJECT_SOURCE_DIR}/")[::2]
            built.add(inside if inside else (folder / root).as_posix())
    forgotten = [path for path in repository.files(".cc") if path not in built]
    assert not forgotten
