"""Cursors: each kind comes back as it was given, and whatever else a caller sends is refused."""

import base64
import re
from pathlib import Path
from uuid import UUID

import pytest

import signalbox_gateway
from signalbox_gateway.read_model import cursor

ID = "0190b6d4-0000-7000-8000-000000000000"
VALUES: dict[type, object] = {int: 7, str: "nightly", UUID: ID}
SOURCES = sorted((Path(signalbox_gateway.__file__).parent / "routes").rglob("*.py"))
USED = {
    kind
    for source in SOURCES
    for kind in re.findall(r'\b(?:after|page|encode)\(\s*"([a-z_]+)"', source.read_text())
}  # fmt: skip


def test_the_kinds_of_the_routes_are_found() -> None:
    assert {"plans", "executions", "workflows", "ticks"} <= USED


@pytest.mark.parametrize("kind", sorted(USED))
def test_the_cursor_of_each_list_is_read_again(kind: str) -> None:
    """Without its shape the second page of a list fails: those of workflows and executions did."""
    values = [VALUES.get(shape, "2026-03-01T00:00:00+00:00") for shape in cursor.SHAPES[kind]]
    assert cursor.decode(kind, cursor.encode(kind, values)) == values


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("names", '["names","\\ud800"]'),
        ("names", '["names","a\\u0000"]'),
        ("names", '["names",7]'),
        ("names", "[" * 5_000),
        ("bindings", '["bindings",5]'),
        ("bindings", '["bindings",{"a":1}]'),
        ("plans", '["plans","2026-01-01T00:00:00+00:00",5]'),
        ("plans", f'["plans",1e400,"{ID}"]'),
        ("versions", '["versions",1e400]'),
        ("versions", f'["versions",{"9" * 5_000}]'),
        ("versions", '["versions",true]'),
    ],
)
def test_a_cursor_that_no_list_made_is_refused(kind: str, text: str) -> None:
    with pytest.raises(cursor.BadCursor):
        cursor.decode(kind, base64.urlsafe_b64encode(text.encode()).decode().rstrip("="))
