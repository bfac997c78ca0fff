"""Compiles the repository's proto/ into the package when the wheel is built, so
that no generated code is kept. All else is in pyproject.toml."""

import pathlib

from setuptools import setup
from setuptools.command.build_py import build_py

# From here to the root of the repository; a wheel is built in place.
PROTOS = pathlib.Path(__file__).resolve().parents[2] / "proto"
# What a client needs: coordinator.proto and what it imports.
NAMES = ["options", "job_spec", "job", "coordinator"]


class BuildWithProtos(build_py):
    def run(self):
        super().run()
        # Only there while a wheel is built.
        from grpc_tools import _proto, protoc

        if not PROTOS.is_dir():
            raise SystemExit(
                f"there is no {PROTOS}: build the wheel inside the repository "
                "(scripts/build-python)"
            )
        arguments = ["protoc", f"-I{PROTOS}", f"-I{next(iter(_proto.__path__))}"]
        for kind in ("python_out", "pyi_out", "grpc_python_out"):
            arguments.append(f"--{kind}={self.build_lib}")
        # Relative names, so that they land in tfd/v1.
        arguments += [f"tfd/v1/{name}.proto" for name in NAMES]
        if protoc.main(arguments) != 0:
            raise SystemExit("protoc failed; its messages are above")


setup(cmdclass={"build_py": BuildWithProtos})
