"""JSON log lines on stderr, with the ids of what is being handled, and no secrets."""

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
_PATTERNS = (
    re.compile(r"(?<=://)([^\s/:@]*):([^\s/@]+)(?=@)"),  # user:password in an address
    re.compile(r"(?i)\b(?P<key>bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}"),
    re.compile(
        r"(?i)(?P<key>[\"']?\b[\w-]*(?:password|passwd|secret|token|api[_-]?key|authorization)[\w-]*[\"']?\s*[=:]\s*)"
        r"(\"[^\"]*\"|'[^']*'|[^\s,;&\"'}]+)"
    ),
)


def hide(secret: str) -> None:
    """Mask this value wherever it shows up in a log line from now on. Values under six characters are ignored."""
    if len(secret) >= 6:
        _secrets.add(secret)


def redact(text: str) -> str:
    """The text without registered secrets, passwords in addresses, bearer tokens and `password=…` pairs."""
    for secret in _secrets:
        text = text.replace(secret, MASK)
    text = _PATTERNS[0].sub(rf"\1:{MASK}", text)
    text = _PATTERNS[1].sub(rf"\g<key> {MASK}", text)
    return _PATTERNS[2].sub(rf"\g<key>{MASK}", text)


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
        return {str(k): _clean(v, str(k)) for k, v in cast("Mapping[object, object]", value).items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in cast("list[object]", value)]
    return value if isinstance(value, int | float | bool) or value is None else redact(str(value))


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
