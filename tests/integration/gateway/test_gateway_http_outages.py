"""PostgreSQL away and back: what a caller sees."""

from signalbox_local.postgres import PostgresServer
from support.gateway import SCRIPTED, item, running_gateway
from support.proofs import proves
from support.service_fixture import until


@proves("F21")
async def test_without_postgresql_a_call_is_answered_503_and_the_next_ones_after_its_return_succeed(
    private_postgres: PostgresServer, kafka_bootstrap: str
) -> None:
    async with running_gateway(private_postgres.url, kafka_bootstrap) as api:
        await api.ask("POST", "/engines", SCRIPTED)
        private_postgres.stop("immediate")
        answer = await api.request("POST", "/plans", {"items": [item(0)]})
        assert answer.problem == (503, "unavailable")
        assert answer.headers["Retry-After"] == "1"
        assert answer.body["trace_id"] == answer.headers["X-Trace-Id"]
        private_postgres.start()

        async def accepted() -> bool:
            return (await api.request("POST", "/plans", {"items": [item(0)]})).status == 202

        await until(accepted, why="a start is accepted again")
        assert len((await api.ask("GET", "/plans"))["items"]) == 1
