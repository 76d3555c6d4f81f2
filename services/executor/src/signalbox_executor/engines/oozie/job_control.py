"""What an operator asks about any job of the server: controls that are read back, and the texts Oozie has of it.

Each answer carries the `oozie` command line that does the same by hand.
"""

from collections.abc import Mapping
from typing import Final

from pydantic import JsonValue
from pydantic_core import to_json

from signalbox_contracts.messages.operations import OozieControlData, OozieShowData
from signalbox_executor.engines.oozie import commands
from signalbox_executor.engines.oozie.configuration import parse
from signalbox_executor.engines.oozie.control import ENDED, Controller
from signalbox_executor.engines.oozie.handles import OozieId, parse_id
from signalbox_executor.engines.oozie.logs import LogReader
from signalbox_executor.engines.oozie.server import OozieServer
from signalbox_executor.engines.port import EngineRefused

MAX_TEXT: Final = 100_000
MAX_JSON_BYTES: Final = 200_000
"""What a text may take as JSON: letters outside of ASCII take up to 4 bytes, control characters 6."""
_LOGS: Final = frozenset({"log", "errorlog", "auditlog"})
_SECRET_WORDS: Final = ("password", "passwd", "secret", "token", "credential", "private")


class JobControl:
    """Operations on the jobs of one server, whoever started them."""

    def __init__(self, server: OozieServer, controller: Controller, logs: LogReader) -> None:
        self._server = server
        self._controller = controller
        self._logs = logs
        self._name = server.rest.name

    async def control(self, request: OozieControlData) -> Mapping[str, JsonValue]:
        """Carry it out and read it back. Raises `EngineRefused` where Oozie would answer 200 and do nothing."""
        id = parse_id(request.job)
        numbers = request.numbers or ((id.number,) if id.number is not None else ())
        before = await self._status(id)
        if not numbers:
            self._check(request, before)
        state = await self._carry_out(request, OozieId(id.job, id.type), numbers)
        return {
            "job": request.job, "action": request.action, "before": before, "state": state,
            "command": commands.control_equivalent(str(self._server.rest.url), request),
        }  # fmt: skip

    async def _carry_out(self, request: OozieControlData, id: OozieId, numbers: tuple[int, ...]) -> str:
        match request.action:
            case "kill":
                return await self._controller.stop(id, numbers)
            case "suspend":
                return await self._controller.suspend(id)
            case "resume":
                return await self._controller.resume(id)
            case "ignore":
                return await self._controller.ignore(id, numbers)
            case "change":
                return await self._controller.change(
                    id, end_at=request.end_at, concurrency=request.concurrency, pause_at=request.pause_at
                )

    def _check(self, request: OozieControlData, state: str) -> None:
        """Refuse what Oozie would take without doing anything."""
        allowed = {
            "kill": state not in ENDED or state == "KILLED",
            "suspend": state not in ENDED and (state != "PREP" or request.job.endswith("-B")),
            "resume": state not in ENDED,
        }
        if not allowed.get(request.action, True):
            needed = "only a job that runs" if request.action == "suspend" else "only a job that has not ended"
            reason = f"{request.job}: it is {state}: {needed} can be asked to {request.action}"
            raise EngineRefused(self._name, reason, field="job", value=request.job)

    async def show(self, request: OozieShowData) -> Mapping[str, JsonValue]:
        """One text of a job, cut to its end (logs) or its beginning."""
        id = parse_id(request.job)
        state = await self._status(id)
        text = await self._text(id, request.document)
        shown = cut_text(text, keep_end=request.document in _LOGS)
        return {
            "job": request.job, "document": request.document, "state": state, "text": shown,
            "cut": len(shown) < len(text),
            "command": commands.show_equivalent(str(self._server.rest.url), request),
        }  # fmt: skip

    async def _text(self, id: OozieId, document: str) -> str:
        if document == "info":
            return await self._logs.show(str(id), "info", len="1000")
        if document == "configuration":
            return _masked(await self._configuration(id))
        if document in _LOGS and id.number is not None:
            return await self._logs.show(id.job, document, type_="action", scope=str(id.number))
        return await self._logs.show(id.job, document)

    async def _configuration(self, id: OozieId) -> str:
        if id.number is not None:
            action = await self._server.coordinator_action(str(id))
            workflow = await self._server.workflow(action.external_id) if action and action.external_id else None
            return (workflow.conf if workflow else None) or ""
        job = await {
            "workflow": self._server.workflow, "coordinator": self._server.coordinator, "bundle": self._server.bundle,
        }[id.type](id.job)  # fmt: skip
        return (job.conf if job else None) or ""

    async def _status(self, id: OozieId) -> str:
        """The present state. Raises `EngineRefused` for a job or an action that Oozie does not know."""
        if id.number is not None:
            action = await self._server.coordinator_action(str(id))
            state = action.status if action else None
        else:
            state = await self._server.status(id.job)
        if state is None:
            raise EngineRefused(self._name, f"{id}: Oozie does not know it", field="job", value=str(id))
        return state


def cut_text(text: str, *, keep_end: bool) -> str:
    """As much of a text as one message carries."""
    size = MAX_TEXT
    while True:
        shown = text[-size:] if keep_end else text[:size]
        if len(to_json(shown)) <= MAX_JSON_BYTES:
            return shown
        size //= 2


def _masked(conf: str) -> str:
    """A configuration as lines `name=value`; values whose names speak of a secret are hidden."""
    if not conf:
        return ""
    try:
        properties = parse(conf)
    except ValueError as error:
        return f"it cannot be read: {error}"
    lines = [
        f"{name}={'***' if any(word in name.lower() for word in _SECRET_WORDS) else value}"
        for name, value in sorted(properties.items())
    ]
    return "\n".join(lines)
