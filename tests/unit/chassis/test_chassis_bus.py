"""How long the broker may hold a fetch: long if it is of all partitions, short if records of some still wait here."""

from typing import Any, cast

from signalbox_chassis.messaging.bus import set_fetch_wait
from signalbox_chassis.messaging.consumer import Consumer


class Fetcher:
    """As aiokafka's: the wait is read when the next requests are made."""

    def __init__(self) -> None:
        self._records: dict[str, Any] = {}
        self._fetch_max_wait_ms = 1

    def _get_actions_per_node(self, assignment: str) -> tuple[str, int]:
        return assignment, self._fetch_max_wait_ms


class FakeConsumer:
    def __init__(self) -> None:
        self._fetcher = Fetcher()


def test_a_fetch_that_leaves_partitions_out_is_short_and_one_of_all_is_long() -> None:
    consumer = FakeConsumer()
    fetcher: Any = consumer._fetcher  # pyright: ignore[reportPrivateUsage]
    for _ in range(3):  # before every poll; it is done once
        set_fetch_wait(cast("Consumer", consumer), 0.02)
    assert fetcher._get_actions_per_node("all") == ("all", 500)
    fetcher._records["a partition"] = "not read yet"
    assert fetcher._get_actions_per_node("the rest") == ("the rest", 20)
    fetcher._records.clear()
    assert fetcher._get_actions_per_node("all") == ("all", 500)


def test_a_consumer_that_has_not_started_is_left_alone() -> None:
    set_fetch_wait(cast("Consumer", object()), 0.02)
