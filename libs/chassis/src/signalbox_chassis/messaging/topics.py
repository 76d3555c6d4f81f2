"""Topics are created explicitly, from the one table in the contracts; a wrong or missing one is an error at start."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from signalbox_chassis.messaging.connection import Kafka, admin_client
from signalbox_contracts.topics import Topic

_EXISTS = 36
VISIBLE_SECONDS = 10


class TopicRefused(Exception):
    """The broker would not create a topic; carries its own words."""


class TopicMissing(Exception):
    """Topics this service needs are not there: producing to one would hang."""


async def create_topics(
    kafka: Kafka,
    topics: Sequence[Topic],
    *,
    prefix: str = "signalbox.",
    replication: int = 1,
    overrides: Mapping[str, str] | None = None,
) -> None:
    """Create what is missing and leave what exists. Use replication 3 in production.

    Raises `TopicRefused`, or `TopicMissing` when a new topic does not show up within 10 s.
    """
    new = [
        NewTopic(
            topic.full_name(prefix),
            topic.partitions,
            replication,
            topic_configs={**topic.config(), "min.insync.replicas": str(max(1, replication - 1)), **(overrides or {})},
        )
        for topic in topics
    ]
    admin = admin_client(kafka, request_timeout_ms=15_000)
    await admin.start()
    try:
        answer: Any = await admin.create_topics(new)
        refused = [f"{error[0]}: {error[2]}" for error in answer.topic_errors if error[1] not in (0, _EXISTS)]
        if refused:
            raise TopicRefused("; ".join(refused))
        await _visible(admin, {topic.name for topic in new})
    finally:
        await admin.close()


async def require_topics(kafka: Kafka, topics: Sequence[Topic], *, prefix: str = "signalbox.") -> None:
    """Raise `TopicMissing` unless every topic exists."""
    admin = admin_client(kafka, request_timeout_ms=15_000)
    await admin.start()
    try:
        missing = {topic.full_name(prefix) for topic in topics} - set(await admin.list_topics())
    finally:
        await admin.close()
    if missing:
        raise TopicMissing(f"create these topics first, or give this user access to them: {', '.join(sorted(missing))}")


async def _visible(admin: AIOKafkaAdminClient, names: set[str]) -> None:
    """A broker answers "unknown topic" for some hundred milliseconds after a creation."""
    give_up_at = time.monotonic() + VISIBLE_SECONDS
    while missing := names - set(await admin.list_topics()):
        if time.monotonic() > give_up_at:
            raise TopicMissing(f"created, yet not there after {VISIBLE_SECONDS} s: {', '.join(sorted(missing))}")
        await asyncio.sleep(0.05)
