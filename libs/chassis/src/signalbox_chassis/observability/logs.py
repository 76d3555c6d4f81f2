"""JSON log lines on stderr, with the ids of the work in progress, and without secrets."""

import logging
import re
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import cast

from opentelemetry import trace
from pythonjsonlogger.json import JsonFormatter

_context: ContextVar[Mapping[str, str]] = ContextVar("signalbox_log_context", default=MappingProxyType({}))
_secrets: set[str] = set()
MASK = "***"
# Bounded repeats: this runs on every line, also on one with 64 KiB of somebody's message in it.
_PATTERNS = (
    (re.compile(r"(?<=://)([^\s/:@]{0,200}):[^\s/@]{1,500}(?=@)"), rf"\1:{MASK}"),  # user:password in an address
    (re.compile(r"(?i)\b(bearer|basic)\s{1,9}[A-Za-z0-9._~+/=-]{8,}"), rf"\1 {MASK}"),
    (re.compile(r"(?i)\b((?:proxy-)?authorization[\"']?\s{0,9}[=:]\s{0,9}[\"']?)[^\r\n\"']+"), rf"\1{MASK}"),
    (
        # not `secret://name`, which is a reference and no secret
        re.compile(
            r"(?i)((?:password|passwd|secret|token|api[_-]?key)[\w-]{0,40}[\"']?\s{0,9}[=:](?!//)\s{0,9})"
            r"(?:\"(?:\\.|[^\"\\])*(?:\"|\Z)|'(?:\\.|[^'\\])*(?:'|\Z)|[^\s,;&\"'}]+)"
        ),
        rf"\1{MASK}",
    ),
)


def hide(secret: str) -> None:
    """Mask this value wherever it shows up in a log line from now on. Values under six characters are ignored."""
    if len(secret) >= 6:
        _secrets.add(secret)


def redact(text: str) -> str:
    """The text without registered secrets, passwords in addresses, bearer tokens and `password=…` pairs."""
    for secret in sorted(_secrets, key=len, reverse=True):  # the longer first: one may be the beginning of another
        text = text.replace(secret, MASK)
    for pattern, masked in _PATTERNS:
        text = pattern.sub(masked, text)
    return text


@contextmanager
def log_context(**ids: str) -> Generator[None]:
    """Every log line written inside carries these ids."""
    token = _context.set({**_context.get(), **ids})
    try:
        yield
    finally:
        _context.reset(token)


class _Context(logging.Filter):
    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def filter(self, record: logging.LogRecord) -> bool:
        record.service = self._service
        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            record.trace_id = format(span.trace_id, "032x")
        for key, value in _context.get().items():
            setattr(record, key, value)
        return True


class _Redacted(JsonFormatter):
    """Redacts each value before it becomes JSON, so that a mask can never break the line."""

    def process_log_record(self, log_data: dict[str, object]) -> dict[str, object]:
        return {key: _clean(value, key) for key, value in log_data.items()}


_SECRET_KEY = re.compile(r"(?i)password|passwd|secret|token|api[_-]?key|authorization")


def _clean(value: object, key: str = "") -> object:
    if _SECRET_KEY.search(key) and value is not None:
        return MASK
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {redact(str(k)): _clean(v, str(k)) for k, v in cast("Mapping[object, object]", value).items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in cast("list[object]", value)]
    if value is None or isinstance(value, bool):
        return value
    text = str(value)
    cleaned = redact(text)
    return value if isinstance(value, int | float) and cleaned == text else cleaned


def configure(service: str, level: str = "INFO") -> None:
    """Send every logger's lines to stderr as one JSON object a line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_Context(service))
    handler.setFormatter(
        _Redacted(
            "%(asctime)s %(levelname)s %(name)s %(message)s",
            rename_fields={"asctime": "at", "levelname": "level", "name": "logger"},
            datefmt="%Y-%m-%dT%H:%M:%S%z",
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # aiokafka writes several lines a second while a broker is down, FastStream two per message
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    logging.getLogger("faststream").setLevel(logging.ERROR)
