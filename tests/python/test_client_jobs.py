"""What a job's messages become in Python."""

import pytest

from tfd.jobs import Cause, Exit

EXITED = Exit("EXITED", 1, 0, "", ())


@pytest.mark.parametrize(
    "message, ended, expected",
    [
        (
            "ended with exit code 1: no such file",
            EXITED,
            "worker/0 failed: ended with exit code 1: no such file",
        ),
        ("label 200 is no class", EXITED, "worker/0 failed (exit code 1): label 200 is no class"),
        ("", EXITED, "worker/0 failed (exit code 1)"),
        ("was silent for 10s", None, "worker/0 failed: was silent for 10s"),
    ],
)
def test_a_cause_says_once_how_a_task_ended(message, ended, expected):
    assert str(Cause("worker/0", message, ended)) == expected


def test_a_cause_that_is_no_task_is_its_words():
    assert str(Cause("", "no node is left", None)) == "no node is left"
