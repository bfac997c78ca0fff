"""Dependencies between folders go one way, in sources and in programs."""

import os
import pathlib
import re
import subprocess

import pytest

import repository

# Which folders' headers a folder may include, besides its own.
MAY_USE = {
    "common": {"proto"},
    "tensor": {"proto", "common"},
    "data": {"proto", "common"},
    "ps": {"proto", "common", "tensor"},
    "worker": {"proto", "common", "tensor", "data", "ps"},
    "daemon/coordinator": {"proto", "common"},
    "daemon/agent": {"proto", "common"},
    "client": {"proto", "common"},
}
# Which folders may include a library that is heavy or must stay out of the rest.
LIBRARY_USERS = {
    "torch/": {"worker"},
    "ATen/": {"worker"},
    "c10/": {"worker"},
    "arrow/": {"data", "worker"},
    "parquet/": {"data"},
    "sqlite3.h": {"daemon/coordinator"},
    "CLI/": {"client", "common", "daemon/coordinator", "daemon/agent", "data",
             "ps", "worker"},
}
GENERATED = ("tfd/v1/", "arrow/flight/protocol/")

# Which shared libraries a program must not load, directly or not.
PROGRAMS_WITHOUT = {
    "tfd": ("libtorch", "libarrow", "libparquet", "libsqlite3"),
    "tfd-agent": ("libtorch", "libarrow", "libparquet", "libsqlite3"),
    "tfd-coordinator": ("libtorch", "libarrow", "libparquet"),
    "tfd-ps": ("libtorch", "libarrow", "libparquet", "libsqlite3"),
    "tfd-data": ("libtorch", "libsqlite3"),
}

# gRPC, and Debian's OpenSSL itself; what LD_DEBUG=bindings says of each symbol.
OPENSSL_USERS = ("libgrpc", "libssl.so", "libcrypto.so")
BINDING = re.compile(r"binding file \S*?(?P<user>[^/\s]+) \[0\] "
                     r"to \S*?(?P<provider>[^/\s]+) \[0\]: .*symbol .*")

INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)


def folder_of(path):
    parts = pathlib.PurePath(path).parts
    return "/".join(parts[:2]) if parts[0] == "daemon" else parts[0]


def included_folder(header):
    """The folder of ours that a header is in, or None."""
    if header.startswith(GENERATED):
        return "proto"
    folder = folder_of(header)
    return folder if folder in MAY_USE else None


def own_sources():
    return [path for path in repository.files(".cc", ".h")
            if folder_of(path) in MAY_USE]


def test_there_is_something_to_check():
    assert own_sources()


def test_includes_go_one_way():
    wrong = []
    for path in own_sources():
        folder = folder_of(path)
        for header in INCLUDE.findall(repository.text(path)):
            used = included_folder(header)
            if used and used != folder and used not in MAY_USE[folder]:
                wrong.append(f"{path} includes {header}")
    assert not wrong, "\n".join(wrong)


def test_libraries_stay_in_their_folders():
    wrong = []
    for path in own_sources():
        for header in INCLUDE.findall(repository.text(path)):
            if header.startswith(GENERATED):
                continue
            for library, users in LIBRARY_USERS.items():
                if header.startswith(library) and folder_of(path) not in users:
                    wrong.append(f"{path} includes {header}")
    assert not wrong, "\n".join(wrong)


def test_cmake_allows_the_same_dependencies():
    text = repository.text("cmake/TfdTargets.cmake")
    declared = {
        folder: set(uses.replace('""', "").split())
        for folder, uses in re.findall(r"set\(TFD_MAY_USE_(\S+) ([^)]*)\)", text)
    }
    declared.pop("proto")
    assert declared == MAY_USE


@pytest.mark.parametrize("program", PROGRAMS_WITHOUT)
def test_program_does_not_load(program):
    path = repository.program(program)
    loaded = subprocess.run(["ldd", str(path)], capture_output=True, text=True,
                            check=True).stdout
    assert "not found" not in loaded
    for library in PROGRAMS_WITHOUT[program]:
        assert library not in loaded, f"{program} loads {library}"


def dynamic_section(program):
    return subprocess.run(["readelf", "-d", str(repository.program(program))],
                          capture_output=True, text=True, check=True).stdout


def needed_by(program):
    """The libraries that it names itself, in their order."""
    return re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic_section(program))


def test_the_worker_does_not_use_sqlite():
    # Debian's LibTorch may load it all the same, through OpenCV and GDAL.
    assert not [name for name in needed_by("tfd-worker") if "sqlite" in name]


@pytest.mark.parametrize("program", ["tfd-data", "tfd-worker"])
def test_openssl_is_looked_up_in_debians_before_arrows(program):
    needed = needed_by(program)
    arrow = [name for name in needed if name.startswith(("libarrow", "libparquet"))]
    if not arrow:
        pytest.skip(f"{program} does not link Arrow")
    assert needed.index("libssl.so.3") < needed.index(arrow[0])
    assert needed.index("libcrypto.so.3") < needed.index(arrow[0])


@pytest.mark.parametrize("program", ["tfd-data", "tfd-worker"])
def test_grpc_uses_debians_openssl_and_not_arrows(program):
    """As the dynamic linker binds them, all at once."""
    path = repository.program(program)
    environment = {**os.environ, "LD_DEBUG": "bindings", "LD_BIND_NOW": "1"}
    grpc = 0
    wrong = []
    with subprocess.Popen([str(path), "--version"], env=environment, text=True,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        for line in process.stderr:
            found = BINDING.search(line)
            if not found or not found["user"].startswith(OPENSSL_USERS):
                continue
            grpc += found["user"].startswith("libgrpc")
            if found["provider"].startswith(("libarrow", "libparquet")):
                wrong.append(found.group())
    assert process.returncode == 0
    assert grpc
    assert not wrong, "\n".join(wrong[:10])


@pytest.mark.parametrize("program", [*PROGRAMS_WITHOUT, "tfd-worker"])
def test_run_path_has_no_relative_folder(program):
    paths = re.findall(r"\((?:RUNPATH|RPATH)\).*\[(.*)\]", dynamic_section(program))
    for run_path in paths:
        for folder in run_path.split(":"):
            assert folder.startswith(("/", "$ORIGIN")), run_path
