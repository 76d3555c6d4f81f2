"""Lines of workers: each has a time of its own or that of the line before, and merging keeps a worker's order."""

from datetime import UTC, datetime

import pytest

from signalbox_gateway.worker_logs import MAX_LINE, lines_of, lines_of_pods, merged, newest

AT = "2026-03-29T01:30:00Z"


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        (b"", []),
        (b"no time\n", [("", "no time")]),
        (f"{AT} INFO a\n\nb".encode(), [(AT, "INFO a"), (AT, ""), (AT, "b")]),
        (b"2026-99-99T01:30:00Z not a time\n", [("", "2026-99-99T01:30:00Z not a time")]),
        (f"{AT}\n".encode(), [(AT, "")]),
        (b"\xff\0\r\nx", [("", "��"), ("", "x")]),
        (b"y" * (MAX_LINE + 1), [("", "y" * MAX_LINE)]),
    ],
)
def test_a_line_has_its_time_or_that_of_the_line_before(log: bytes, expected: list[tuple[str, str]]) -> None:
    assert [(line.timestamp, line.message) for line in lines_of(3, log)] == expected


def test_merged_lines_are_in_the_order_of_their_times_and_a_workers_lines_keep_theirs() -> None:
    first = lines_of(0, b"2026-03-29T01:30:00.5Z b\nof b\n2026-03-29T01:30:02Z d")
    second = lines_of(1, b"2026-03-29T01:30:00Z a\n2026-03-29T01:30:01Z c")
    assert [line.message for line in merged([first, second])] == ["a", "b", "of b", "c", "d"]
    assert [line.message for line in newest(first, tail=2, since=None)] == ["of b", "d"]
    assert newest(first, tail=0, since=None) == []
    since = datetime(2026, 3, 29, 1, 30, 1, tzinfo=UTC)
    assert [line.message for line in newest(first, tail=9, since=since)] == ["d"]
    assert newest(lines_of(0, b"no time"), tail=9, since=since) == []


def test_the_log_of_an_indexed_job_is_taken_apart_by_worker() -> None:
    log = f"[1] {AT} INFO one\n[0] {AT} INFO zero\n[1] Traceback\n".encode()
    found = lines_of_pods(log, 3)
    assert {index: [line.message for line in lines] for index, lines in found.items()} == {
        0: ["INFO zero"], 1: ["INFO one", "Traceback"], 2: [],
    }  # fmt: skip
    assert found[1][1].timestamp == AT


def test_the_log_of_a_job_of_one_pod_has_no_badges() -> None:
    assert [line.message for line in lines_of_pods(b"[0] as it was written\n", 1)[0]] == ["[0] as it was written"]
