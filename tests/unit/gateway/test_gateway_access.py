"""What a caller may is looked at again while a long answer is sent; headers that others write in any form."""

from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from fastapi import Request

from signalbox_gateway.http import access
from signalbox_gateway.identity.authentication import Principal
from signalbox_gateway.identity.roles import Binding, Object, Role
from signalbox_gateway.routes import reprocessing


@pytest.mark.parametrize(
    ("bindings", "may"),
    [
        ((Binding(Role.VIEWER),), True),
        ((Binding(Role.VIEWER, "lake"),), True),
        ((Binding(Role.VIEWER, "sea"),), False),
        ((), False),
    ],
)
async def test_a_followed_log_ends_when_its_task_is_out_of_reach_though_other_tasks_are_not(
    bindings: tuple[Binding, ...], may: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def principal(_: str) -> Principal:
        return Principal("ann", "key", frozenset({"*"}), None, bindings)

    async def found(*_: Any) -> Object:
        return Object("lake", frozenset({"scripted"}))

    monkeypatch.setattr(access, "find", found)
    state = SimpleNamespace(tokens=SimpleNamespace(principal=principal), dependencies=SimpleNamespace(database=None))
    scope = {
        "type": "http", "method": "GET", "headers": [(b"authorization", b"Bearer x")], "path_params": {"id": uuid4()},
        "route": SimpleNamespace(path="/api/v1/tasks/{id}/logs"), "app": SimpleNamespace(state=state),
    }  # fmt: skip
    assert await access.still_may(Request(scope), "task.read") is may


@pytest.mark.parametrize(
    ("header", "seconds"), [("wait=3", 3.0), ("respond-async, wait=1", 1.0), ("wait=99", 10.0), ("wait=\xb2", 10.0)]
)
def test_a_wait_that_is_no_number_is_the_usual_one(header: str, seconds: float) -> None:
    request = Request({"type": "http", "headers": [(b"prefer", header.encode("latin-1"))]})
    assert reprocessing._wait_seconds(request) == seconds  # pyright: ignore[reportPrivateUsage]
