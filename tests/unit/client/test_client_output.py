"""What the command line prints of texts that others wrote."""

import pytest

from signalbox_client import output
from signalbox_client.commands import notifications, workflows

CLEAR = "\x1b[2J"


@pytest.mark.parametrize("start", ["\x1b[", "\x1bM", "\x1b]0;a title without an end", "\x1bP", "\x1b", "\x1b(B"])
def test_a_control_sequence_without_an_end_hides_no_further_line(start: str) -> None:
    """A program could write one before the lines of its log that nobody is to see."""
    assert output.plain(f"first\n{start}\nsecond\nthird\n") == "first\n\nsecond\nthird\n"


def test_a_command_of_two_characters_hides_nothing() -> None:
    assert output.plain("up \x1bMand on") == "up and on"


def test_computed_columns_show_no_control_sequences(capsys: pytest.CaptureFixture[str]) -> None:
    """The receiver of a notification chooses its answer, an Airflow server the names of its tasks."""
    tries = [{"number": 1, "at": "2026-03-31T00:00:00Z", "state": "failed", "answer": f"no {CLEAR}such hook"}]
    output.one({"tries": tries}, "table", [row for row in notifications.DELIVERY if row[0] == "tries made"])
    output.rows(
        [{"tasks": [{"task_id": f"load{CLEAR}", "state": "failed"}]}],
        "table",
        [row for row in workflows.RUN if row[0] == "tasks"],
    )
    shown = capsys.readouterr().out
    assert "failed no such hook" in shown
    assert "load failed" in shown
    assert "\x1b" not in shown


def test_messages_show_no_control_sequences(capsys: pytest.CaptureFixture[str]) -> None:
    output.echo(f"every day at noon, {CLEAR}zone UTC")
    assert capsys.readouterr().err == "every day at noon, zone UTC\n"
