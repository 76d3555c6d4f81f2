"""Log lines: JSON, with ids, without secrets."""

import io
import json
import logging
import string
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from signalbox_chassis.observability import logs

log = logging.getLogger("test.chassis.logs")


@pytest.fixture(autouse=True)
def as_found() -> Iterator[None]:
    """`configure` changes the root logger, `hide` a set: both are put back."""
    root, aio, fast = logging.getLogger(), logging.getLogger("aiokafka"), logging.getLogger("faststream")
    found = root.handlers[:], root.level, aio.level, fast.level
    yield
    root.handlers[:], root.level = found[0], found[1]
    aio.setLevel(found[2])
    fast.setLevel(found[3])
    logs._secrets.clear()  # pyright: ignore[reportPrivateUsage]


def written(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def configured(level: str = "INFO") -> io.StringIO:
    logs.configure("planner", level)
    stream = io.StringIO()
    handler = logging.getLogger().handlers[0]
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(stream)  # pyright: ignore[reportUnknownMemberType]
    return stream


def texts(value: object) -> Iterator[str]:
    """Every string in a JSON value, keys included, and the numbers as they are written."""
    if isinstance(value, dict):
        for key, inner in value.items():  # pyright: ignore[reportUnknownVariableType]
            yield from texts(key)  # pyright: ignore[reportUnknownArgumentType]
            yield from texts(inner)  # pyright: ignore[reportUnknownArgumentType]
    elif isinstance(value, list):
        for inner in value:  # pyright: ignore[reportUnknownVariableType]
            yield from texts(inner)  # pyright: ignore[reportUnknownArgumentType]
    else:
        yield str(value)


def test_a_line_is_one_json_object_with_time_level_logger_service_and_message() -> None:
    stream = configured()
    log.warning("two\nlines and %s", "a part")
    (line,) = written(stream)
    at = line.pop("at")
    assert time.strptime(at, "%Y-%m-%dT%H:%M:%S%z")
    assert line == {
        "level": "WARNING",
        "logger": "test.chassis.logs",
        "service": "planner",
        "message": "two\nlines and a part",
    }


def test_the_level_says_what_is_written_and_the_kafka_libraries_are_kept_quiet() -> None:
    stream = configured("WARNING")
    log.info("not this")
    logging.getLogger("aiokafka").error("nor this")
    logging.getLogger("faststream").warning("nor that")
    log.warning("this")
    assert [line["message"] for line in written(stream)] == ["this"]


def test_ids_of_the_context_are_on_every_line_inside_and_on_none_after() -> None:
    stream = configured()
    with logs.log_context(plan_id="p1"):
        with logs.log_context(task_id="t1"):
            log.info("inner")
        log.info("outer")
    log.info("after")
    ids = [{key: line[key] for key in ("plan_id", "task_id") if key in line} for line in written(stream)]
    assert ids == [{"plan_id": "p1", "task_id": "t1"}, {"plan_id": "p1"}, {}]


def test_a_line_inside_a_span_names_its_trace() -> None:
    stream = configured()
    with trace.use_span(TracerProvider().get_tracer("t").start_span("work")) as span:
        log.info("inside")
        trace_id = format(span.get_span_context().trace_id, "032x")
    log.info("outside")
    inside, outside = written(stream)
    assert inside["trace_id"] == trace_id
    assert "trace_id" not in outside


secrets = st.text(string.ascii_letters + string.digits + "+/=_-.", min_size=4, max_size=40).map("Zq9".__add__)


@given(secret=secrets, before=st.text(max_size=20), after=st.text(max_size=20), number=st.integers(10**6, 10**12))
def test_a_registered_secret_never_shows_wherever_it_stands(secret: str, before: str, after: str, number: int) -> None:
    """Logs are read by more people than secrets are. Message, arguments, extras, keys, numbers, tracebacks."""
    logs.hide(secret)
    logs.hide(str(number))
    text = before + secret + after
    stream = configured()
    log.info(text.replace("%", "%%"))
    log.info("an argument %s, its repr %r, bytes %s", text, [secret], secret.encode())
    log.info("%(named)s", {"named": text})
    log.info("extras", extra={"plain": text, "deep": {"a": [{"b": (text, {secret})}], secret: 1, "n": [number, 1.5]}})
    with logs.log_context(task=text):
        log.info("context")
    try:
        try:
            raise KeyError(text)
        except KeyError as error:
            raise ValueError(f"refused {text}") from error
    except ValueError as error:
        log.exception("failed: %s", error)
    lines = written(stream)
    assert len(lines) == 6
    assert not [shown for shown in texts(lines) if secret in shown or str(number) in shown]
    assert secret not in stream.getvalue()
    assert "Traceback" in lines[-1]["exc_info"], "what is not secret is still there"


@given(names=st.lists(secrets, min_size=1, max_size=3), end=st.text(string.ascii_letters, min_size=1, max_size=9))
def test_of_two_secrets_that_begin_alike_nothing_of_the_longer_is_left(names: list[str], end: str) -> None:
    for name in names:
        logs.hide(name)
        logs.hide(name + end)
    assert logs.redact(f"<{names[0]}{end}>") == "<***>"


@given(st.recursive(st.text() | st.integers() | st.floats(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)))
def test_a_mask_cannot_break_a_line(value: object) -> None:
    """A line that is no JSON is a line the reader of logs never finds."""
    logs.hide('quote"brace}')
    logs.hide("back\\slash")
    stream = configured()
    log.info('x quote"brace} password="a\\"b" back\\slash %s', value, extra={"value": value})
    (line,) = written(stream)
    assert line["message"].startswith("x *** password=*** ***")


def test_a_key_that_names_a_secret_hides_its_value_whatever_it_is() -> None:
    stream = configured()
    log.info("x", extra={"password": 5, "deep": [{"apiKey": ["a", "b"], "DB_PASSWD": None, "user": "ann"}]})
    (line,) = written(stream)
    assert line["password"] == "***"
    assert line["deep"] == [{"apiKey": "***", "DB_PASSWD": None, "user": "ann"}]


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("postgresql://role:hunter2@host:5432/db", "postgresql://role:***@host:5432/db"),
        ("redis://:hunter2@host", "redis://:***@host"),
        ("Authorization: Bearer abc.DEF-123~+/==", "Authorization: ***"),
        ("authorization: token hunter2 more", "authorization: ***"),
        ("{'Authorization': 'Basic aHVudGVyMg=='}", "{'Authorization': '***'}"),
        ("sent with bearer aHVudGVyMg==, twice", "sent with bearer ***, twice"),
        ("?api_key=hunter2&page=2", "?api_key=***&page=2"),
        ("client_secret_value = hunter2; next", "client_secret_value = ***; next"),
        ('{"dbPassword": "hun\\"ter2", "user": "ann"}', '{"dbPassword": ***, "user": "ann"}'),
        ("{'access-token': 'hunter2'}", "{'access-token': ***}"),
        ('{"token": "hunter2 cut off in the mid', '{"token": ***'),
        ("uses secret://db-main as its password", "uses secret://db-main as its password"),
        ("https://host/path?q=a:b@c", "https://host/path?q=a:b@c"),
        ("the tokenizer is basic", "the tokenizer is basic"),
    ],
)
def test_what_looks_like_a_secret_is_masked_and_what_does_not_is_left(text: str, masked: str) -> None:
    assert logs.redact(text) == masked


@pytest.mark.parametrize("unit", ["a-", "token", "token=", "://a:", "bearer ", "a", 'password="\\', "authorization"])
def test_no_text_however_long_takes_long_to_redact(unit: str) -> None:
    """Quadratic matching once took 8 s for 20 KB, with the event loop standing still."""
    began = time.process_time()
    logs.redact(unit * (200_000 // len(unit)))
    assert time.process_time() - began < 2


def test_a_short_value_is_not_taken_for_a_secret() -> None:
    logs.hide("abc")
    assert logs.redact("abc abcdef") == "abc abcdef"
