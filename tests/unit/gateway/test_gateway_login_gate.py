"""Requests that bring a password are worked on in turns, and nobody has a turn while their body is awaited."""

import asyncio
from typing import Any

from signalbox_gateway.http.login_gate import LoginGate

LOGIN = {"type": "http", "path": "/api/v1/auth/login"}
PLANS = {"type": "http", "path": "/api/v1/plans"}
BODY = {"type": "http.request", "body": b"{}", "more_body": False}


async def body() -> dict[str, Any]:
    return BODY


async def nothing(_: Any) -> None:
    return


class Worker:
    """An application that reads its body and then works until it is told to end."""

    def __init__(self) -> None:
        self.at_work = 0
        self.ended = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert await receive() == BODY
        self.at_work += 1
        await self.ended.wait()


async def settled() -> None:
    """Every task that can go on has."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_logins_beyond_the_bound_wait_their_turn_and_other_requests_do_not() -> None:
    worker = Worker()
    gate = LoginGate(worker, at_once=2)
    async with asyncio.TaskGroup() as group:
        for scope in (LOGIN, LOGIN, LOGIN, PLANS):
            group.create_task(gate(scope, body, nothing))
        await settled()
        assert worker.at_work == 3, "two logins, and the request that is none"
        worker.ended.set()
    assert worker.at_work == 4


async def test_bodies_that_do_not_come_keep_nobody_out() -> None:
    worker, came = Worker(), asyncio.Event()

    async def late_body() -> dict[str, Any]:
        await came.wait()
        return BODY

    gate = LoginGate(worker, at_once=1)
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(gate(LOGIN, late_body, nothing))
        await settled()
        group.create_task(gate(LOGIN, body, nothing))
        await settled()
        assert worker.at_work == 1, "the one whose body came"
        worker.ended.set()
        came.set()
    assert worker.at_work == 4
