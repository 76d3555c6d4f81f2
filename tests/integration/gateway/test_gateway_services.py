"""What services publish of themselves is shown; facts that somebody else wrote freeze nothing and are undone."""

import uuid
from datetime import UTC, datetime
from typing import Any

from aiokafka import AIOKafkaProducer

from signalbox_contracts.envelope import Event
from signalbox_contracts.messages.states import EngineRecord, EngineStated, ServiceRecord, ServiceStated, Trouble
from signalbox_contracts.states import PlanState
from signalbox_contracts.topics import topic_of
from signalbox_contracts.wire import encode
from support.gateway import SCRIPTED, Gateway, item, running_gateway
from support.read_model import plan_stated
from support.service_fixture import until


async def send(api: Gateway, *events: Event[Any]) -> None:
    producer: Any = AIOKafkaProducer(bootstrap_servers=api.bootstrap)
    await producer.start()
    try:
        for event in events:
            record = encode(event)
            await producer.send_and_wait(
                topic_of(type(event)).full_name(f"{api.schema}."), record.value, key=record.key
            )
    finally:
        await producer.stop()


def engine_stated(id: str, revision: int) -> EngineStated:
    record = EngineRecord(engine_id=id, version=1, definitions_revision=revision)
    return EngineStated.of(
        record, subject=f"engine:{id}", source="signalbox/executor", time=datetime.now(UTC), id=uuid.uuid4()
    )


async def test_what_keeps_failing_and_what_was_forged_is_in_the_status_and_at_the_plan(
    postgres_url: str, kafka_bootstrap: str
) -> None:
    """Without it a loop that fails is known to its own /readyz alone, and a forged revision holds for ever."""
    async with running_gateway(postgres_url, kafka_bootstrap) as api:
        saved = await api.ask("POST", "/engines", SCRIPTED)
        plan = (await api.ask("POST", "/plans", {"items": [item(1)]}))["id"]
        trouble = Trouble(part="reconcile", reason="OSError: no answer")
        record = ServiceRecord(service="planner", instance="1", version=1, troubles=(trouble,))
        failing = ServiceStated.of(
            record, subject="service:planner", source="signalbox/planner", time=datetime.now(UTC), id=uuid.uuid4()
        )
        id = uuid.UUID(plan)
        forged = plan_stated(id, PlanState.RUNNING, 2**52)
        await send(api, failing, forged, engine_stated("scripted", saved["revision"] + 40))

        async def shown() -> bool:
            status = await api.ask("GET", "/status")
            return bool(status["troubles"] and status["restated"] and status["parked"])

        await until(shown, why="trouble, parked message and restated revision in the status")
        status = await api.ask("GET", "/status")
        assert [(one["service"], one["part"], one["reason"]) for one in status["troubles"]] == [
            ("planner", "reconcile", "OSError: no answer")
        ]
        [undone] = status["restated"]
        assert undone["service"] == "api-gateway"
        assert "engine scripted" in undone["last"]
        assert (await api.ask("GET", "/engines/scripted"))["revision"] > saved["revision"] + 40

        async def explained() -> bool:
            seen = await api.ask("GET", f"/plans/{plan}")
            return {one["why"] for one in seen["waiting"]} >= {"parked"}

        await until(explained, why="the plan names what could not be taken of it")
        assert (await api.ask("GET", f"/plans/{plan}"))["state"] == "ACCEPTED"
        other = (await api.ask("POST", "/plans", {"items": [item(1)]}))["id"]

        async def waits_for_the_planner() -> bool:
            waiting = (await api.ask("GET", f"/plans/{other}"))["waiting"]
            return any("`reconcile` of the planner keeps failing" in one["sentence"] for one in waiting)

        await until(waits_for_the_planner, why="a plan names the part that fails")
        well = record.model_copy(update={"version": 2, "troubles": ()})
        await send(api, failing.model_copy(update={"data": well, "id": str(uuid.uuid4())}))

        async def over() -> bool:
            return not (await api.ask("GET", "/status"))["troubles"]

        await until(over, why="what succeeds again is shown no longer")
