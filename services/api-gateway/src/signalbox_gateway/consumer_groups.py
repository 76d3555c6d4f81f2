"""The consumer groups of the services as Kafka sees them: members and lag. Queried at most every two seconds."""

import asyncio
import time
from contextlib import suppress
from typing import Any, Final, cast

from aiokafka import TopicPartition
from aiokafka.protocol.admin import DescribeGroupsRequest_v2
from aiokafka.protocol.api import Request

from signalbox_chassis.messaging.connection import Kafka, admin_client, consumer
from signalbox_chassis.messaging.consumer import Consumer
from signalbox_contracts.services import installed_services

FRESH_SECONDS: Final = 2.0


def expected_groups() -> dict[str, tuple[str, ...]]:
    """Every group of the installed services, with the topics it reads."""
    return {group: topics for spec in installed_services() for group, topics in spec.groups.items()}


class Groups:
    """One connection to Kafka, made when first asked and made anew after a failure."""

    def __init__(self, kafka: Kafka, *, group_prefix: str, topic_prefix: str) -> None:
        self._kafka = kafka
        self._topic_prefix = topic_prefix
        self._admin: Any = None
        self._consumer: Consumer | None = None
        self._lock = asyncio.Lock()
        self._seen: list[dict[str, Any]] = []
        self._seen_at = 0.0
        self._names = {group_prefix + name: name for name in expected_groups()}

    async def look(self) -> list[dict[str, Any]]:
        """`{group, members, lag}` of each group; raises KafkaError or TimeoutError when Kafka does not answer."""
        async with self._lock:
            if time.monotonic() - self._seen_at > FRESH_SECONDS:
                try:
                    self._seen = await self._ask()
                except BaseException:
                    await self._close()
                    raise
                self._seen_at = time.monotonic()
            return self._seen

    async def snapshot(self) -> dict[str, Any]:
        """The same, as the status shows it."""
        return {"groups": await self.look()}

    async def start(self) -> None:
        """Nothing: the first question connects."""

    async def stop(self) -> None:
        await self._close()

    async def _ask(self) -> list[dict[str, Any]]:
        if self._admin is None:
            self._admin = admin_client(self._kafka, request_timeout_ms=3_000)
            await self._admin.start()
        admin = self._admin
        names = self._names
        members = await _members(admin, list(names))
        offsets = await asyncio.gather(*(admin.list_consumer_group_offsets(name) for name in names))
        committed = dict(zip(names, offsets, strict=True))
        ends = await self._ends({partition for offsets in committed.values() for partition in offsets})
        return [
            {
                "group": name,
                "members": members.get(name, 0),
                "lag": sum(max(0, ends[at] - saved.offset) for at, saved in committed[name].items() if at in ends),
            }
            for name in names
        ]

    async def _ends(self, partitions: set[TopicPartition]) -> dict[TopicPartition, int]:
        if not partitions:
            return {}
        if self._consumer is None:
            made: Any = consumer(self._kafka)
            self._consumer = cast("Consumer", made)
            await self._consumer.start()
        wanted = [one for one in partitions if one.topic.startswith(self._topic_prefix)]
        self._consumer.assign(wanted)
        return await self._consumer.end_offsets(wanted)

    async def _close(self) -> None:
        admin, consumer = self._admin, self._consumer
        self._admin = self._consumer = None
        with suppress(Exception):  # it may be ended because it failed
            async with asyncio.timeout(1):
                if admin is not None:
                    await admin.close()
        with suppress(Exception):
            async with asyncio.timeout(1):
                if consumer is not None:
                    await consumer.stop()


class _Describe(Request[DescribeGroupsRequest_v2]):
    """Version 2 of the question: aiokafka 0.14.0 reads the answer of version 3, which it would choose, by the schema of
    version 2 and closes the connection when a group has members."""

    API_KEY = 15

    def __init__(self, groups: list[str]) -> None:
        self._groups = groups

    def build(self, request_struct_class: type[DescribeGroupsRequest_v2]) -> DescribeGroupsRequest_v2:
        return request_struct_class(self._groups)


async def _members(admin: Any, names: list[str]) -> dict[str, int]:
    nodes = await asyncio.gather(*(admin.find_coordinator(name) for name in names))
    mine = {node: [name for name, of in zip(names, nodes, strict=True) if of == node] for node in set(nodes)}
    responses = await asyncio.gather(*(admin._send_request(_Describe(groups), node) for node, groups in mine.items()))
    return {group[1]: len(group[5]) for response in responses for group in response.groups}
