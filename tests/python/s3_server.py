"""An S3 server on this machine: moto's, for tests."""

import contextlib
import re
import subprocess
import sys
import time

import pyarrow.fs

WAIT_SECONDS = 30
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@contextlib.contextmanager
def s3_server(folder):
    """The variables of the environment of a client of it."""
    log = folder / "log"
    with open(log, "w") as out:
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
            stdout=out,
            stderr=out,
        )
    deadline = time.monotonic() + WAIT_SECONDS
    try:
        while not (found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text())):
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield {**CREDENTIALS, "AWS_ENDPOINT_URL": found.group()}
    finally:
        server.kill()
        server.wait()


def make_bucket(variables, name):
    """The new bucket's files."""
    files = pyarrow.fs.S3FileSystem(
        access_key="key",
        secret_key="secret",
        region="us-east-1",
        scheme="http",
        endpoint_override=variables["AWS_ENDPOINT_URL"].partition("://")[2],
        allow_bucket_creation=True,
    )
    files.create_dir(name)
    return pyarrow.fs.SubTreeFileSystem(name, files)
