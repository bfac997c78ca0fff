"""Every command of README.md, as a reader would type it."""

import os
import pathlib
import re
import subprocess

import pytest

from processes import BIN

REPOSITORY = pathlib.Path(__file__).parents[2]


def commands():
    """The lines behind "$ " in README's console blocks."""
    text = (REPOSITORY / "README.md").read_text()
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    return [
        line[2:] for block in blocks for line in block.splitlines() if line[:2] == "$ "
    ]


@pytest.mark.skipif("TFD_MNIST_DIR" not in os.environ, reason="needs TFD_MNIST_DIR")
def test_every_command_of_the_readme_works(programs):
    environment = dict(programs.environment)
    environment["PATH"] = f"{BIN}:{environment['PATH']}"
    lines = commands()
    assert len(lines) > 10
    try:
        for line in lines:
            result = subprocess.run(
                ["bash", "-c", line],
                cwd=programs.folder,
                env=environment,
                capture_output=True,
                text=True,
                timeout=120,
            )
            assert result.returncode == 0, f"{line}\n{result.stdout}{result.stderr}"
    finally:
        programs.tfd("down", "--force")


def test_every_file_that_the_documents_link_to_exists():
    documents = [REPOSITORY / "README.md", REPOSITORY / "ARCHITECTURE.md"]
    documents += (REPOSITORY / "docs").rglob("*.md")
    for document in documents:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document}: {target}"
