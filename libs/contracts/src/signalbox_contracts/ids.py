"""Derived ids: pure functions, so that a crash, a replay and a repetition give the same id.

Every function here is a promise about stored data: changing one renames what already exists. `tests/unit/contracts`
pins one value of each.
"""

import hashlib
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final
from uuid import UUID, uuid5

NAMESPACE: Final = UUID("6f1b0a52-5d0a-5c0e-9c55-7c1e7a5b0e01")
"""The root of every derived id of Signalbox. Never to change."""
_NAMESPACE_BYTES: Final = NAMESPACE.bytes
_VARIANT: Final = "89ab" * 4
_RUN_KEY: Final = re.compile(r"sb-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-[1-9][0-9]{0,6}")


def fact_id(type: str, subject: str, version: int) -> str:
    """The id of a fact about one aggregate: the same fact said twice carries the same id."""
    return _uuid5_text(f"{type}:{subject}:{version}")


def items_fact_id(type: str, subject: str, items: Iterable[tuple[object, int]]) -> str:
    """The id of a fact about several items of one aggregate, from (item id, version) in the order they are said."""
    versions = ",".join(f"{item}@{version}" for item, version in items)
    return _uuid5_text(f"{type}:{subject}:[{versions}]")


def page_id(type: str, subject: str, version: int, page: int) -> str:
    """The id of one page of a fact or request that is said in numbered pages."""
    return str(uuid5(NAMESPACE, f"{type}:{subject}:{version}:page:{page}"))


def derived_id(type: str, subject: str, *causes: object) -> str:
    """The id of a message that follows from others exactly once, such as a cancel caused by one operation."""
    return str(uuid5(NAMESPACE, ":".join([type, subject, "derived", *(_quoted(cause) for cause in causes)])))


def task_id(plan_id: UUID, item_key: str) -> UUID:
    """The id of the task an item of a plan becomes."""
    return uuid5(plan_id, f"task:{item_key}")


def run_key(task_id: UUID, attempt: int) -> str:
    """An attempt's identity on its engine: at most 47 characters, a DNS-1123 label that starts with a letter.

    It is made of task and attempt number only, never of a process, a lease or a random number: whoever takes the task
    over submits the same key again. Kubernetes adds up to 12 characters for a pod's name and still fits 63.
    """
    if not 1 <= attempt <= 9_999_999:
        raise ValueError(f"attempt {attempt} is not allowed: 1 to 9999999")
    return f"sb-{task_id}-{attempt}"


def is_run_key(text: str) -> bool:
    """Whether a text has the form of a run key."""
    return _RUN_KEY.fullmatch(text) is not None


def task_of_run_key(run_key: str) -> tuple[UUID, int]:
    """The task and the attempt of a run key. Raises ValueError for what is none."""
    if not is_run_key(run_key):
        raise ValueError(f"{run_key[:100]!r} is no run key")
    task, _, attempt = run_key.removeprefix("sb-").rpartition("-")
    return UUID(task), int(attempt)


def run_key_hash128(run_key: str) -> str:
    """The run key as 32 hexadecimal digits, where an engine takes only a 128-bit id (Flink's `jobId`)."""
    return hashlib.sha256(run_key.encode()).hexdigest()[:32]


def plan_id_from_key(principal: str, idempotency_key: str) -> UUID:
    """The plan id of a call with an `Idempotency-Key`: the same caller and key always mean the same plan."""
    return uuid5(NAMESPACE, f"plan:key:{_quoted(principal)}:{_quoted(idempotency_key)}")


def tick_id(schedule_id: str, instant: datetime) -> UUID:
    """The id of one tick: schedule and the instant at which it was due."""
    if instant.tzinfo is None:
        raise ValueError(f"instant {instant.isoformat()} has no time zone: ticks are aware instants")
    return uuid5(NAMESPACE, f"tick:{_quoted(schedule_id)}:{instant.astimezone(UTC).isoformat()}")


def plan_id_from_tick(tick_id: UUID) -> UUID:
    """The plan a tick starts."""
    return uuid5(NAMESPACE, f"plan:tick:{tick_id}")


def plan_id_from_trigger(trigger_id: str, source: str, event_id: str) -> UUID:
    """The plan that one trigger makes of one event from outside; (source, id) identifies a CloudEvent."""
    return uuid5(NAMESPACE, f"plan:trigger:{_quoted(trigger_id)}:{_quoted(source)}:{_quoted(event_id)}")


def child_plan_id(plan_id: UUID, cause: str) -> UUID:
    """The linked plan that retries what failed; `cause` is the id of the request that asked for it."""
    return uuid5(plan_id, f"child:{cause}")


def selection_id(plan_id: UUID, part: str, round: int) -> UUID:
    """The look-up of one part of a plan; a plan is resolved again (`round` + 1) when it is applied."""
    return uuid5(plan_id, f"selection:{round}:{part}")


def delivery_id(channel_id: str, subscription_id: str, event_id: str) -> UUID:
    """One message to one channel because of one event."""
    return uuid5(NAMESPACE, f"delivery:{_quoted(channel_id)}:{_quoted(subscription_id)}:{_quoted(event_id)}")


def dead_letter_id(service: str, topic: str, partition: int, offset: int, timestamp_ms: int) -> UUID:
    """A parked message, by where and when it was written; parking it twice is parking it once.

    The record's time is part of it because offsets start anew when a Kafka is wiped.
    """
    return uuid5(NAMESPACE, f"dead-letter:{_quoted(service)}:{_quoted(topic)}:{partition}:{offset}:{timestamp_ms}")


def inbox_id(source: str, id: str) -> bytes:
    """The 16 bytes under which a service remembers that it handled an event: CloudEvents identifies by (source, id)."""
    return hashlib.blake2b(f"{len(source)}.{source}{id}".encode(), digest_size=16).digest()


def _uuid5_text(name: str) -> str:
    """`str(uuid5(NAMESPACE, name))` without making the UUID, which takes most of the time."""
    digest = hashlib.sha1(_NAMESPACE_BYTES + name.encode(), usedforsecurity=False).digest()
    h = digest[:16].hex()
    return f"{h[:8]}-{h[8:12]}-5{h[13:16]}-{_VARIANT[digest[8] >> 4]}{h[17:20]}-{h[20:]}"


def _quoted(part: object) -> str:
    text = str(part)
    return f"{len(text)}.{text}"  # with its length in front, no two lists of parts read the same
