"""Spans in one SQLite file, at most so many and so large: the oldest traces make room."""

import contextlib
import json
import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from signalbox_local.secret import append_private

MAX_SPANS = 200_000
MAX_BYTES = 256 * 1024 * 1024

_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
PRAGMA journal_size_limit = 16777216;
CREATE TABLE IF NOT EXISTS trace (
    trace_id TEXT PRIMARY KEY, seen INTEGER NOT NULL, spans INTEGER NOT NULL, bytes INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS trace_seen ON trace (seen);
CREATE TABLE IF NOT EXISTS span (
    trace_id TEXT NOT NULL, span_id TEXT NOT NULL, parent_span_id TEXT, name TEXT NOT NULL, service TEXT NOT NULL,
    start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (trace_id, span_id)
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Span:
    """One finished span. Ids are lower-case hex, times nanoseconds since 1970 in UTC."""

    trace_id: str
    span_id: str
    parent_span_id: str | None
    name: str
    service: str
    kind: str
    start_ns: int
    end_ns: int
    attributes: dict[str, Any]
    status: dict[str, str]
    events: list[dict[str, Any]]

    def body(self) -> str:
        return json.dumps(
            {"kind": self.kind, "attributes": self.attributes, "status": self.status, "events": self.events},
            separators=(",", ":"),
        )


class SpanStore:
    """Keeps at most `max_spans` spans of together `max_bytes`; safe to use from several threads.

    A trace counts as old by when its last span came. A span sent twice is kept once.
    """

    def __init__(self, file: Path, *, max_spans: int = MAX_SPANS, max_bytes: int = MAX_BYTES) -> None:
        self.max_spans = max_spans
        self.max_bytes = max_bytes
        self._lock = threading.Lock()
        self._db = _open(file)
        totals: tuple[int, int, int] = self._db.execute(
            "SELECT coalesce(sum(spans), 0), coalesce(sum(bytes), 0), coalesce(max(seen), 0) FROM trace"
        ).fetchone()
        self._spans: int = totals[0]
        self._bytes: int = totals[1]
        self._seen: int = totals[2]

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def add(self, spans: Sequence[Span]) -> None:
        """Keep `spans`, in one transaction. Raises sqlite3.Error when they cannot be written; nothing is kept then."""
        with self._lock:
            before = (self._spans, self._bytes, self._seen)
            try:
                with self._db:
                    for span in spans[-self.max_spans :]:
                        self._insert(span)
                    self._make_room()
            except sqlite3.Error:
                self._spans, self._bytes, self._seen = before
                raise

    def _insert(self, span: Span) -> None:
        body = span.body()
        inserted = self._db.execute(
            "INSERT OR IGNORE INTO span VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                span.trace_id,
                span.span_id,
                span.parent_span_id,
                span.name,
                span.service,
                span.start_ns,
                span.end_ns,
                body,
            ),
        )
        if inserted.rowcount == 0:
            return
        size = len(body) + len(span.name) + len(span.service) + 64
        self._seen += 1
        self._db.execute(
            "INSERT INTO trace VALUES (?1, ?2, 1, ?3) ON CONFLICT (trace_id) "
            "DO UPDATE SET seen = ?2, spans = spans + 1, bytes = bytes + ?3",
            (span.trace_id, self._seen, size),
        )
        self._spans += 1
        self._bytes += size

    def _make_room(self) -> None:
        """Invariant: at every commit the file holds no more than the two limits."""
        while self._spans > self.max_spans or self._bytes > self.max_bytes:
            trace_id, spans, size = self._db.execute(
                "SELECT trace_id, spans, bytes FROM trace ORDER BY seen LIMIT 1"
            ).fetchone()
            self._db.execute("DELETE FROM span WHERE trace_id = ?", (trace_id,))
            self._db.execute("DELETE FROM trace WHERE trace_id = ?", (trace_id,))
            self._spans -= spans
            self._bytes -= size

    def count(self) -> int:
        return self._spans

    def trace(self, trace_id: str) -> list[dict[str, Any]]:
        """The spans of a trace by start time; empty when it is unknown or was dropped."""
        with self._lock:
            rows = self._db.execute(
                "SELECT trace_id, span_id, parent_span_id, name, service, start_ns, end_ns, body FROM span "
                "WHERE trace_id = ? ORDER BY start_ns, span_id",
                (trace_id,),
            ).fetchall()
        names = ("trace_id", "span_id", "parent_span_id", "name", "service", "start_ns", "end_ns")
        return [{**dict(zip(names, row[:7], strict=True)), **json.loads(row[7])} for row in rows]

    def latest(self, limit: int) -> list[dict[str, Any]]:
        """The traces that last got a span, newest first: root's name (null while missing), services, duration."""
        with self._lock:
            rows = self._db.execute(
                "SELECT t.trace_id, t.spans, min(s.start_ns), max(s.end_ns), json_group_array(DISTINCT s.service), "
                "max(CASE WHEN s.parent_span_id IS NULL THEN s.name END) "
                "FROM (SELECT * FROM trace ORDER BY seen DESC LIMIT ?) t JOIN span s USING (trace_id) "
                "GROUP BY t.trace_id ORDER BY t.seen DESC",
                (limit,),
            ).fetchall()
        return [
            {
                "trace_id": trace_id,
                "root": root,
                "services": sorted(json.loads(services)),
                "spans": spans,
                "start_ns": start,
                "duration_ns": max(0, end - start),
            }
            for trace_id, spans, start, end, services, root in rows
        ]


def _open(file: Path) -> sqlite3.Connection:
    """Open `file`; one that is damaged is put aside as `*.damaged`, since traces are worth less than a receiver."""
    try:
        return _connect(file)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise  # locked, or no space: not the file's fault
        for suffix in ("-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                file.with_name(file.name + suffix).unlink()
        file.replace(file.with_suffix(".damaged"))
        return _connect(file)


def _connect(file: Path) -> sqlite3.Connection:
    append_private(file).close()  # SQLite gives its journal files the same mode
    db = sqlite3.connect(file, check_same_thread=False, timeout=10)
    try:
        db.executescript(_SCHEMA)
    except sqlite3.Error:
        db.close()
        raise
    return db
