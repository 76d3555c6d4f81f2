"""Writes down which tests failed, and which only ran out of time: `support/parts.py` repeats the latter."""

import os
from pathlib import Path

import pytest

_DEADLINE = "support.deadlines.DeadlineExceeded: "


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add a failed test to the file that `support/parts.py` names: `deadline NODE` or `failed NODE`."""
    file = os.environ.get("SIGNALBOX_FAILED_TESTS")
    if file and report.failed:
        kind = "deadline" if _DEADLINE in report.longreprtext else "failed"
        with Path(file).open("a") as failed:
            failed.write(f"{kind} {report.nodeid}\n")
