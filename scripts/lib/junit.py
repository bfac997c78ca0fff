"""Reads JUnit XML files of test runners: shows what failed, and adds up.

usage: junit.py FILE=STATUS…

STATUS is the exit status of the runner that wrote FILE. Prints each failed test
with the end of its output, then one line of totals: "N passed, N failed", and
", N skipped" if any were. A runner that failed without naming a failed test, or
left no file, counts as one failure.
"""

import sys
import xml.etree.ElementTree as ElementTree

OUTPUT_LINES = 60


def outcome(case):
    """passed, failed or skipped, from a <testcase> of ctest or pytest."""
    status = case.get("status", "run")
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    if status == "fail":
        return "failed"
    if case.find("skipped") is not None or status in ("notrun", "disabled"):
        return "skipped"
    return "passed"


def name(case):
    group, test = case.get("classname"), case.get("name")
    return f"{group}.{test}" if group and group != test else test


def output(case):
    parts = []
    for tag in ("failure", "error", "system-out"):
        element = case.find(tag)
        if element is not None and element.text:
            parts.append(element.text)
    return "\n".join(parts).strip().splitlines()[-OUTPUT_LINES:]


def read(path, status):
    """The test cases in a file, and an error text if the runner itself failed."""
    try:
        cases = list(ElementTree.parse(path).getroot().iter("testcase"))
    except (OSError, ElementTree.ParseError) as error:
        return [], f"no results in {path} (exit status {status}): {error}"
    if status and not any(outcome(case) == "failed" for case in cases):
        return cases, f"{path}: no test failed, but the runner did ({status})"
    return cases, None


def main(arguments):
    count = {"passed": 0, "failed": 0, "skipped": 0}
    for argument in arguments:
        path, status = argument.rsplit("=", 1)
        cases, error = read(path, int(status))
        for case in cases:
            result = outcome(case)
            count[result] += 1
            if result == "failed":
                print(f"FAILED: {name(case)}")
                for line in output(case):
                    print(f"    {line}")
        if error:
            count["failed"] += 1
            print(f"FAILED: {error}")
    totals = f"{count['passed']} passed, {count['failed']} failed"
    if count["skipped"]:
        totals += f", {count['skipped']} skipped"
    print(totals)
    return 1 if count["failed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
