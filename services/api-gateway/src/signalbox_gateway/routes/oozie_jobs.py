"""In: oozie_control, oozie_show. Changes: operation. Out: oozie.control, oozie.show.

What an operator does to a job of an Oozie server, whoever started it. The executor carries it out and reads it back;
the operation is answered with the state, or with the text.
"""

from typing import Annotated, Any, Literal

from fastapi import Depends, Request, Response
from pydantic import BaseModel, Field, ValidationError

from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.definitions.engine import Engine, OozieConnection
from signalbox_contracts.messages.operations import OozieControl, OozieControlData, OozieShow, OozieShowData
from signalbox_contracts.samples.definitions import OPERATION
from signalbox_contracts.vocabulary import Instant, Text
from signalbox_gateway import operations
from signalbox_gateway.definitions.kinds import KINDS
from signalbox_gateway.http.access import Principal, permission
from signalbox_gateway.http.bodies import body, body_of
from signalbox_gateway.http.dependencies import Dependencies, Deps
from signalbox_gateway.http.idempotency import Answer, write
from signalbox_gateway.http.prefix_router import PrefixRouter
from signalbox_gateway.http.problems import Problem, invalid
from signalbox_gateway.routes import answers
from signalbox_gateway.routes.definitions import load
from signalbox_gateway.routes.engines import operation_answer

router = PrefixRouter(prefix="/engines", tags=["engines"])
Operator = Annotated[Principal, Depends(permission("engine.operate"))]


class OozieControlRequest(BaseModel):
    """What is done to a job."""

    job: Annotated[str, Field(min_length=1, max_length=255)]
    """Oozie's id: a workflow (`…-W`), a coordinator (`…-C`), one of its actions (`…-C@7`), or a bundle (`…-B`)."""
    action: Literal["kill", "suspend", "resume", "ignore", "change"]
    numbers: Annotated[list[Annotated[int, Field(ge=1, le=999_999_999)]], Field(max_length=1000)] = []
    """`kill` and `ignore` of a coordinator: only these of its actions."""
    end_at: Instant | None = None
    """`change`: when the coordinator ends, to the minute."""
    pause_at: Instant | None = None
    """`change`: from when on the coordinator makes no new actions."""
    concurrency: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """`change`: how many of its actions run at once."""
    reason: Text = ""


class OozieShowRequest(BaseModel):
    """Which text of which job."""

    job: Annotated[str, Field(min_length=1, max_length=255)]
    document: Literal["info", "configuration", "definition", "log", "errorlog", "auditlog"]
    reason: Text = ""


@router.post(
    "/{id}/oozie/control", operation_id="oozie_control", response_model=answers.Operation, status_code=202,
    openapi_extra=body(OozieControlRequest),
)  # fmt: skip
async def oozie_control(id: str, request: Request, deps: Deps, principal: Operator) -> Response:
    """Kill, suspend, resume, ignore or change a job of an Oozie server; the operation has the state read back."""
    wanted = await body_of(request, OozieControlRequest)
    return await _ask(id, request, deps, principal, OozieControl, wanted)


@router.post(
    "/{id}/oozie/show", operation_id="oozie_show", response_model=answers.Operation, status_code=202,
    openapi_extra=body(OozieShowRequest),
)  # fmt: skip
async def oozie_show(id: str, request: Request, deps: Deps, principal: Operator) -> Response:
    """Read the log, error log, audit log, definition or configuration of a job; the operation's details carry it."""
    wanted = await body_of(request, OozieShowRequest)
    return await _ask(id, request, deps, principal, OozieShow, wanted)


async def _ask(
    id: str, request: Request, deps: Dependencies, principal: Principal, message: type[OozieControl | OozieShow],
    wanted: OozieControlRequest | OozieShowRequest,
) -> Response:  # fmt: skip
    data = wanted.model_dump(exclude={"reason"})
    _check(id, message, data)

    async def act(work: UnitOfWork) -> Answer:
        engine = (await load(work.connection, KINDS["engine"], id)).definition
        assert isinstance(engine, Engine)
        if not isinstance(engine.connection, OozieConnection):
            raise Problem("conflict", f"engine {id} is of kind {engine.connection.kind!r}: only 'oozie' has such jobs")
        operation = await operations.ask(
            work, deps, principal, message, target=f"engine:{id}", reason=wanted.reason, engine_id=id, **data
        )
        return await operation_answer(work, operation)

    return await write(request, deps, principal, act)


def _check(engine: str, message: type[OozieControl | OozieShow], data: dict[str, Any]) -> None:
    """Raise a problem that names the field for what the message would not carry."""
    kind = OozieControlData if message is OozieControl else OozieShowData
    try:
        kind.model_validate({**data, "operation_id": OPERATION, "actor": "user:x", "engine_id": engine})
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "action"
        if field == "job":
            reason = "is no Oozie id: one ends in -W, -C or -B, or in -C@ and the number of an action"
            raise invalid("job", data["job"], reason) from None
        raise invalid(field, data.get(field), str(first["msg"]).removeprefix("Value error, ")) from None


def examples() -> dict[str, dict[str, Any]]:
    """By operation id."""
    job = "0000012-261128133000889-oozie-C"
    return {
        "oozie_control": {"request": {"job": job, "action": "kill", "numbers": [2, 5], "reason": "wrong input"}},
        "oozie_show": {"request": {"job": job, "document": "errorlog"}},
    }
