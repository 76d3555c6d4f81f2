"""Which days a run is about, and how it reports. Standard library only."""

import json
import os
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

MODES = ("initial_load", "incremental")


class WrongSetting(SystemExit):
    """A variable holds nonsense; the text names it."""


def event_date() -> date:
    """EVENT_DATE, or yesterday in UTC."""
    text = os.environ.get("EVENT_DATE", "")
    try:
        utc = timezone.utc  # noqa: UP017, the Python 3.10 of Spark's image has no `datetime.UTC`
        return date.fromisoformat(text) if text else datetime.now(utc).date() - timedelta(1)
    except ValueError:
        raise WrongSetting(f"EVENT_DATE must be a date such as 2026-01-31, not {text!r}") from None


def window(last: date) -> list[date]:
    """The days that end at `last`, PROCESSING_WINDOW_DAYS of them, the oldest first."""
    text = os.environ.get("PROCESSING_WINDOW_DAYS", "7")
    if not text.isdecimal() or not 1 <= int(text) <= 366:
        raise WrongSetting(f"PROCESSING_WINDOW_DAYS must be 1 to 366, not {text!r}")
    return [last - timedelta(n) for n in reversed(range(int(text)))]


def mode() -> str:
    text = os.environ.get("MODE", "incremental")
    if text not in MODES:
        raise WrongSetting(f"MODE must be one of {', '.join(MODES)}, not {text!r}")
    return text


def lake() -> str:
    """Where the lake is: HDFS_URL, which may be a folder as well."""
    return f"{os.environ.get('HDFS_URL', 'hdfs://namenode:9000').rstrip('/')}/lake"


def report(**result: object) -> None:
    """The result of this run, for Signalbox and for whoever reads the log."""
    text = json.dumps(result)
    print(text, flush=True)
    file = os.environ.get("SIGNALBOX_RESULT")
    if file:
        Path(file).write_text(text)
