"""Secrets in the output of runs: every form is hidden, wherever a stored piece ends, and nothing else is lost."""

import base64
import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, quote_plus
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import JsonValue
from pydantic_core import to_json

from signalbox_chassis.blobs import Blobs
from signalbox_executor.engines.port import MESSAGE_LENGTH, LogPage, Watched, bounded
from signalbox_executor.logs import LogKeeper
from signalbox_executor.masking import (
    Mask,
    _size_of_beginning,  # pyright: ignore[reportPrivateUsage]
    _size_of_rest,  # pyright: ignore[reportPrivateUsage]
)
from signalbox_executor.run_masks import mask_message
from signalbox_executor.settings import ExecutorSettings
from signalbox_executor.store.logs import Copy

PEM = (
    "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0\nBAQEFAASCBKcwggSjAgEAAoI\nshort\n-----END PRIVATE KEY-----\n"
)


def in_pieces(mask: Mask, data: bytes, size: int) -> bytes:
    """As the log keeper does: a piece begins where the one before was cut; more is read where nothing can be shown."""
    shown, at, want = b"", 0, size
    while at < len(data):
        end = min(at + want, len(data))
        piece = mask.clean(data[at:end], last=end == len(data))
        want = size if piece else want + size
        shown, at = shown + piece, at + len(piece)
    return shown


PRINTED: list[Callable[[str], str]] = [
    str,
    lambda value: base64.b64encode(value.encode()).decode(),
    lambda value: base64.b64encode(b"user:" + value.encode() + b"@host").decode(),
    lambda value: base64.urlsafe_b64encode(b"x" + value.encode() + b"yy").decode(),
    lambda value: quote(value, safe=""),
    lambda value: quote_plus(value),
    lambda value: json.dumps(value),
    lambda value: json.dumps(value, ensure_ascii=False),
    lambda value: value.encode().hex(),
]


@pytest.mark.parametrize("printed", PRINTED)
@pytest.mark.parametrize("value", ['s3cr&t/päss wörd"7', "plain-but-long-enough"])
def test_a_value_is_hidden_in_the_form_it_is_printed_in(value: str, printed: Callable[[str], str]) -> None:
    text = f"before {printed(value)} after\n".encode()
    shown = Mask(frozenset({value})).clean(text, last=True)
    assert len(shown) == len(text)
    assert shown.startswith(b"before ")
    assert b"*" * 8 in shown
    for part in (value, "s3cr", "but-long"):
        assert part.encode() not in shown


def test_a_key_printed_line_by_line_is_hidden_and_its_frame_is_not() -> None:
    lines = PEM.splitlines()
    shown = Mask(frozenset({PEM})).clean("\n> ".join(lines).encode(), last=True).decode()
    assert [line.strip("> ") for line in shown.splitlines()] == [
        lines[0], "*" * len(lines[1]), "*" * len(lines[2]), lines[3], lines[4],
    ]  # fmt: skip


def test_values_that_overlap_are_hidden_together() -> None:
    assert Mask(frozenset({"abcdefg", "efghijk"})).clean(b"-abcdefghijk-", last=True) == b"-***********-"


def test_the_beginning_of_a_longer_value_waits_although_it_is_a_value_itself() -> None:
    mask = Mask(frozenset({"secret1", "secret1-long-value"}))
    first = mask.clean(b"is secret1", last=False)
    assert first == b"is "
    assert mask.clean(b"secret1-long-value.", last=True) == b"*" * 18 + b"."


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.text("ab-", min_size=6, max_size=12), min_size=1, max_size=3),
    st.text("ab-\n", max_size=60),
    st.integers(1, 20),
)
def test_what_is_shown_does_not_depend_on_where_pieces_end(values: list[str], text: str, size: int) -> None:
    mask, data = Mask(frozenset(values)), text.encode()
    assert in_pieces(mask, data, size) == mask.clean(data, last=True)


class Written:
    """An engine that has this log, in pages that end where its segments do."""

    def __init__(self, data: bytes, segment: int) -> None:
        self._data, self._segment = data, segment

    async def logs(self, watched: Watched, *, offset: int = 0, limit: int = 65_536) -> LogPage:
        end = min(offset + limit, (offset // self._segment + 1) * self._segment)
        return LogPage(offset, self._data[offset:end])


@dataclass
class WithGap:
    """An engine that let go of the bytes from `begin` to `end`, in pages of `page` bytes."""

    data: bytes
    begin: int
    end: int
    page: int

    async def logs(self, watched: Watched, *, offset: int = 0, limit: int = 65_536) -> LogPage:
        if self.begin <= offset < self.end:
            offset = self.end
        end = min(offset + min(limit, self.page), self.begin if offset < self.begin else len(self.data))
        return LogPage(offset, self.data[offset:end])


class OneEngine:
    """A registry of one engine."""

    def __init__(self, engine: Written | WithGap) -> None:
        self._engine = engine

    def get(self, id: str) -> Written | WithGap:
        return self._engine


class Kept(LogKeeper):
    """Without a database: the log of an attempt that has ended."""

    def __post_init__(self) -> None:
        self.done = False

    async def _mask(self, copy: Copy) -> Mask:
        return Mask(frozenset({"secret-value"}))

    async def _done(self, copy: Copy) -> None:
        self.done = True


async def keep(folder: Path, data: bytes, *, segment: int, max_bytes: int = 65_536) -> tuple[dict[int, bytes], Any]:
    return await keep_of(folder, Written(data, segment), max_bytes)


async def keep_of(folder: Path, engine: Written | WithGap, max_bytes: int = 65_536) -> tuple[dict[int, bytes], Any]:
    values = {"kafka_bootstrap": "h:1", "database_url": "postgresql://r:p@h/d", "log_max_bytes": max_bytes}
    registry = OneEngine(engine)
    kept = Kept(cast(Any, None), cast(Any, registry), cast(Any, None), Blobs(f"file://{folder}"),
                ExecutorSettings(**cast(Any, values)), reachable=list)  # fmt: skip
    task: UUID = uuid4()
    await kept._keep(Copy(task, "e1", Watched("k", 1), True, 0, False, None))  # pyright: ignore[reportPrivateUsage]
    assert kept.done
    files = sorted((folder / "logs" / str(task) / "1").iterdir())
    pieces = {int(p.name.partition(".")[0]): gzip.decompress(p.read_bytes()) for p in files if p.suffix == ".gz"}
    end = next((json.loads(path.read_text()) for path in files if path.name == "end.json"), None)
    return pieces, end


@pytest.mark.parametrize("cut", range(1, 13))
async def test_a_log_whose_cut_falls_on_the_beginning_of_a_secret_keeps_its_end(tmp_path: Path, cut: int) -> None:
    """Without it the end of the log is lost, and `truncated` is false."""
    head = 65_536 * 3 // 4
    data = b"x" * (head - cut) + b"secret-value" + b"y" * 30_000 + b"the end"
    pieces, end = await keep(tmp_path, data, segment=10**9)
    last = max(pieces)
    assert pieces[last].endswith(b"the end")
    assert end["bytes"] == len(data)
    assert end["truncated"] == (sum(map(len, pieces.values())) < len(data))
    assert b"secret" not in b"".join(pieces.values())


@pytest.mark.parametrize("page", [5, 10**6])
@pytest.mark.parametrize("cut", range(1, 12))
async def test_a_secret_that_lies_across_a_gap_is_hidden_on_both_sides(tmp_path: Path, cut: int, page: int) -> None:
    """Without it the log of a run shows all of a secret but its first byte where the engine let go of what precedes."""
    before, value, after = b"a line\n" * 20, b"secret-value", b"\nand the end"
    data = before + value + b"lost" * 10 + value + after
    gap = WithGap(data, len(before) + cut, len(data) - len(after) - cut, page)
    pieces, end = await keep_of(tmp_path, gap)
    part = b"*" * cut if cut >= 4 else None  # shorter ones are not hidden
    stored = b"".join(pieces[at] for at in sorted(pieces))
    assert stored == before + (part or value[:cut]) + (part or value[-cut:]) + after
    assert end == {"bytes": len(data), "truncated": True}


@pytest.mark.parametrize("page", [5, 10**6])
async def test_a_log_whose_last_bytes_are_lost_counts_as_truncated(tmp_path: Path, page: int) -> None:
    """Without it the log of a run at whose end the disk was full counts as complete."""
    before = b"a line\n" * 20
    pieces, end = await keep_of(tmp_path, WithGap(before + b"lost", len(before), len(before) + 4, page))
    assert b"".join(pieces[at] for at in sorted(pieces)) == before
    assert end == {"bytes": len(before) + 4, "truncated": True}


def test_after_a_gap_nothing_is_shown_before_it_is_known_to_be_no_rest_of_a_value() -> None:
    mask = Mask(frozenset({"secret-value"}))
    assert mask.clean(b"ecret-", last=False, after_gap=True) == b""
    assert mask.clean(b"ecret-value and more of the log", last=False, after_gap=True) == (
        b"*" * 11 + b" and more of the log"
    )


@pytest.mark.parametrize("segment", [4093, 4096, 40_000])
async def test_a_log_under_its_limit_is_kept_complete_wherever_its_segments_end(tmp_path: Path, segment: int) -> None:
    data = b"".join(b"line %d secret-value\n" % n for n in range(2000))
    pieces, end = await keep(tmp_path, data, segment=segment)
    stored = b"".join(pieces[at] for at in sorted(pieces))
    assert stored == data.replace(b"secret-value", b"*" * 12)
    assert end == {"bytes": len(data), "truncated": False}


async def test_a_small_log_is_one_object(tmp_path: Path) -> None:
    pieces, end = await keep(tmp_path, b"one line with secret-value\n", segment=10**6)
    assert pieces == {0: b"one line with ************\n"}
    assert end is None


def test_json_is_masked_in_its_texts_names_and_numbers() -> None:
    mask = Mask(frozenset({"hunter2-päss", "123456789"}))
    numbers: JsonValue = {"n": 123456789.5, "m": -1123456789, "k": 12345678}
    given: JsonValue = {"hunter2-päss": ["x hunter2-päss", numbers], "b": [True, None]}
    shown = mask.clean_json(given)
    stars = "*" * 13
    assert shown == {stars: [f"x {stars}", {"n": "*" * 9, "m": "*" * 9, "k": 12345678}], "b": [True, None]}
    assert len(to_json(shown)) == len(to_json(given))
    assert Mask(frozenset()).clean_json(given) == given


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(
    before=st.text(max_size=8),
    after=st.text(max_size=8),
    value=st.text('ab1é"\\/ ', min_size=6, max_size=12),
    other=_JSON,
)
def test_masked_json_holds_no_value_and_is_never_longer(before: str, after: str, value: str, other: JsonValue) -> None:
    """A result may fill its 16 KiB: masked it must still be one."""
    given: JsonValue = [before + value + after, before + value, {before + value: other}]
    written = to_json(Mask(frozenset({value})).clean_json(given))
    assert len(written) <= len(to_json(given))
    first, second, _ = json.loads(written)
    assert value not in first
    assert value not in second


def test_a_message_that_was_cut_ends_in_no_beginning_of_a_value() -> None:
    secret = "correct-horse-battery"
    message = bounded("x" * (MESSAGE_LENGTH - 8) + secret)
    assert message.endswith("correct…")
    shown = mask_message(Mask(frozenset({secret})), message)
    assert "corre" not in shown
    assert len(shown) == len(message)


MANY = frozenset(f"key{number:03}={number * number:06}" for number in range(40))
MASKS = Mask(MANY), Mask(MANY)
MASKS[0]._by_prefix = None  # pyright: ignore[reportPrivateUsage]


@settings(max_examples=60)
@given(st.lists(st.sampled_from([*sorted(MANY), "key", "key1", "=0000", " ", "x" * 9]), max_size=30), st.booleans())
def test_many_values_are_hidden_as_few_are(words: list[str], last: bool) -> None:
    """One pass for many values finds what a search for each finds."""
    data = "".join(words).encode()
    assert MASKS[1]._by_prefix is not None  # pyright: ignore[reportPrivateUsage]
    for gap in (False, True):
        shown = [mask.clean(data, last=last, after_gap=gap, before_gap=gap) for mask in MASKS]
        assert shown[0] == shown[1]


@settings(max_examples=200)
@given(st.text(alphabet="ab", max_size=40), st.text(alphabet="ab", min_size=6, max_size=30))
def test_what_may_be_a_part_of_a_value_is_measured_exactly(text: str, value: str) -> None:
    data, hidden = text.encode(), value.encode()
    sizes = range(min(len(hidden) - 1, len(data)), -1, -1)
    assert _size_of_beginning(data, hidden) == next(size for size in sizes if data.endswith(hidden[:size]))
    rest = next((size for size in sizes if size and data.startswith(hidden[-size:])), 0)
    assert _size_of_rest(data, hidden) == rest


def test_a_secret_of_thousands_of_lines_is_hidden_in_a_long_log() -> None:
    """A search for each of its 90,000 forms through the page took minutes, and its beginnings took longer."""
    lines = [f"{number:08x}{number * 7919:010x}" for number in range(4000)]
    mask = Mask(frozenset({"\n".join(lines)}))
    noise = b"nothing to hide here\n" * 25_000
    data = noise + "\n".join(lines[:1000]).encode() + noise + lines[9].encode()[:7]
    shown = mask.clean(data, last=False)
    assert shown == noise + b"\n".join([b"*" * len(line) for line in lines[:1000]]) + noise
