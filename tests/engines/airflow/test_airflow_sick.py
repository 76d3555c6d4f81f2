"""An Airflow that is away, slow or failing: its breaker opens, its runs wait and say so, others are not late."""

from collections.abc import AsyncGenerator
from datetime import timedelta

import pytest
import pytest_asyncio

from engines.airflow.product import POLL_SECONDS, AirflowProduct
from engines.airflow.server import PASSWORD, USERNAME
from engines.airflow.sick_proxy import SickProxy
from support.deadlines import wait_until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400), pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def proxy(product: AirflowProduct) -> AsyncGenerator[SickProxy]:
    """The engine `sick`: the same Airflow behind a proxy, with a password of the vault."""
    async with SickProxy(product.airflow.server.url).serving() as made:
        await product.ask("PUT", "/secrets/airflow-password", {"value": PASSWORD, "uses": ["engine"]})
        access = {"method": "basic", "username": USERNAME, "password": "secret://airflow-password"}
        connection = {"kind": "airflow", "url": made.url, "access": {**access, "timeout_seconds": 10}}
        engine = {
            "id": "sick", "name": "A sick Airflow", "connection": connection, "observe_every_seconds": 0.5,
            "breaker": {"failures": 2, "open_seconds": 1},
        }  # fmt: skip
        await product.ask("POST", "/engines", engine)
        await product.ask("POST", "/workflows", {"name": "Of sick", "dag_id": "conformance", "engine": "sick"})
        await product.ask("POST", "/workflows", {"name": "Of well", "dag_id": "conformance", "engine": "airflow"})
        yield made


async def finished(product: AirflowProduct, workflow: str, run: str) -> None:
    """The run completes, and its DAG run was started once."""
    ended = await product.run_until(workflow, run)
    assert (ended["state"], ended["error"]) == ("completed", None)
    assert product.airflow.server.starts(ended["dag_run_id"]) == 1


async def test_half_of_the_calls_answered_500_start_each_run_once(product: AirflowProduct, proxy: SickProxy) -> None:
    proxy.become("half")
    runs = [(await product.ask("POST", "/workflows/of-sick/runs", {}))["id"] for _ in range(4)]
    for run in runs:
        await finished(product, "of-sick", run)
    proxy.become("well")


async def test_a_slow_airflow_delays_no_other_engine(product: AirflowProduct, proxy: SickProxy) -> None:
    proxy.become("slow")
    slow = [(await product.ask("POST", "/workflows/of-sick/runs", {}))["id"] for _ in range(3)]
    other = (await product.ask("POST", "/workflows/of-well/runs", {}))["id"]
    await finished(product, "of-well", other)
    for run in slow:
        shown = await product.ask("GET", f"/workflows/of-sick/runs/{run}")
        assert shown["state"] not in ("completed", "failed"), shown
    proxy.become("well")
    for run in slow:
        await finished(product, "of-sick", run)


async def test_an_airflow_that_is_away_opens_its_breaker_and_uses_up_no_attempt(
    product: AirflowProduct, proxy: SickProxy
) -> None:
    proxy.become("away")
    run = (await product.ask("POST", "/workflows/of-sick/runs", {}))["id"]

    async def opened() -> bool:
        engine = await product.ask("GET", "/engines/sick")
        return engine["state"]["breaker"] in ("open", "half_open")

    await wait_until(opened, seconds=90, why="the breaker is open", poll_seconds=POLL_SECONDS)
    second = (await product.ask("POST", "/workflows/of-sick/runs", {}))["id"]

    async def explained() -> bool:
        shown = await product.ask("GET", f"/workflows/of-sick/runs/{second}")
        return any(one["why"] == "breaker_open" for one in shown["waiting"])

    await wait_until(explained, seconds=90, why="the run says that the breaker is open", poll_seconds=POLL_SECONDS)
    before = proxy.calls
    await finished(product, "of-well", (await product.ask("POST", "/workflows/of-well/runs", {}))["id"])
    assert proxy.calls - before < 60, "an open breaker asks once a second"
    proxy.become("well")
    for one in (run, second):
        await finished(product, "of-sick", one)
        task = (await product.ask("GET", f"/workflows/of-sick/runs/{one}"))["task"]
        assert (await product.ask("GET", f"/tasks/{task}"))["attempt"] == 1
    assert (await product.ask("GET", "/engines/sick"))["state"]["breaker"] == "closed"


async def test_a_changed_password_is_a_readable_reason_and_a_right_one_goes_on(
    product: AirflowProduct, proxy: SickProxy
) -> None:
    """Nothing was started while the password was wrong, and nothing is lost."""
    await product.ask("PUT", "/secrets/airflow-password", {"value": "guess", "uses": ["engine"]})
    engine = await product.ask("GET", "/engines/sick")
    fields = ("id", "name", "connection", "labels", "limits", "breaker")
    again = {name: engine[name] for name in fields if name in engine}
    await product.ask("PUT", "/engines/sick", {**again, "name": "With another password"})
    operation = (await product.ask("POST", "/engines/sick/test", {}))["id"]
    tested = await product.ask("GET", f"/operations/{operation}?wait=30s&until=end")
    assert (tested["state"], "username 'admin' and its password are not accepted" in tested["answer"]) == (
        "failed", True,
    )  # fmt: skip
    assert "guess" not in str(tested)
    run = (await product.ask("POST", "/workflows/of-sick/runs", {}))["id"]
    await product.ask("PUT", "/secrets/airflow-password", {"value": PASSWORD, "uses": ["engine"]})
    await product.ask("PUT", "/engines/sick", {**again, "name": "With the right password"})
    await finished(product, "of-sick", run)
    assert proxy.mode == "well"


@pytest.mark.parametrize("hours", [1, -1])
async def test_an_airflow_whose_clock_is_an_hour_off_is_followed_all_the_same(
    product: AirflowProduct, proxy: SickProxy, hours: int
) -> None:
    """More runs than are asked for one by one: what changed is read by Airflow's clock, never by ours."""
    proxy.clock_off = timedelta(hours=hours)
    try:
        runs = [(await product.ask("POST", "/workflows/of-sick/runs", {}))["id"] for _ in range(6)]
        for run in runs:
            await finished(product, "of-sick", run)
        wrong = (await product.ask("POST", "/workflows/of-sick/runs", {"parameters": {"fail": 1}}))["id"]
        failed = await product.run_until("of-sick", wrong)
        assert failed["state"] == "failed"
        retried = (await product.control("of-sick", wrong, "retry", "once more")).body
        again = await product.run_until("of-sick", retried["run_id"])
        assert (again["state"], again["dag_run_id"]) == ("failed", failed["dag_run_id"])
        assert product.airflow.server.starts(failed["dag_run_id"]) == 2, "the clear was done, and done once"
    finally:
        proxy.clock_off = timedelta()
