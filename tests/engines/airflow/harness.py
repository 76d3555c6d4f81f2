"""The real Airflow 3 as the conformance suite, the crash points and the fault tests need it."""

import json
import os
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Self

import pytest

from contract.engines.harness import Ask, until
from engines.airflow.server import PASSWORD, USERNAME, AirflowServer
from signalbox_contracts.definitions.work import AirflowWork, Work
from signalbox_executor.engines.airflow.adapter import AirflowEngine
from signalbox_executor.engines.airflow.client import AirflowClient, Answer, Credentials, Query
from signalbox_executor.engines.port import ENDS, Engine, EngineUnavailable, Submission, Watched

FRESH_SECONDS = 0.2


async def credentials() -> Credentials:
    return Credentials(username=USERNAME, password=PASSWORD)


class DeafClient(AirflowClient):
    """Loses the answers of calls whose path ends like this, after Airflow has done what they ask."""

    def __init__(self, *arguments: Any, loses: Sequence[str], **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._loses = tuple(loses)

    async def call(self, method: str, path: str, query: Query | None = None, body: Any = None, **how: Any) -> Answer:
        answer = await super().call(method, path, query, body, **how)
        if method in ("POST", "PATCH") and path.endswith(self._loses):
            raise EngineUnavailable(self.name, "the answer was lost")
        return answer


class CountingClient(AirflowClient):
    """Counts its logins, and can be given a token that Airflow does not take."""

    logins = 0

    def use_token(self, token: str) -> None:
        self._token, self._token_at = token, float("-inf")

    async def _log_in(self, credentials: Credentials, *, old: str) -> str:
        before = self._token
        token = await super()._log_in(credentials, old=old)
        self.logins += token != before
        return token


class AirflowHarness:
    """One Airflow; every test takes run keys of its own."""

    engine: AirflowEngine

    def __init__(self, server: AirflowServer) -> None:
        self.server = server
        self._started: list[tuple[str, Work]] = []

    @classmethod
    @contextmanager
    def stand(cls, folder: Path, postgres_url: str) -> Generator[Self]:
        with AirflowServer(folder / "airflow", postgres_url) as server:
            yield cls(server)

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[None]:
        self.engine = AirflowEngine(self.client(), fresh_seconds=FRESH_SECONDS)
        try:
            yield
        finally:
            await self.end_all()
            await self.engine.close()

    def client(self) -> "CountingClient":
        return CountingClient(self.server.url, credentials)

    def fresh_engine(self, fresh_seconds: float = FRESH_SECONDS) -> AirflowEngine:
        """An adapter that remembers nothing, as that of an executor that took over."""
        return AirflowEngine(self.client(), fresh_seconds=fresh_seconds)

    def deaf_engine(self, *loses: str) -> AirflowEngine:
        return AirflowEngine(DeafClient(self.server.url, credentials, loses=loses), fresh_seconds=FRESH_SECONDS)

    def work(self, key: str, ask: Ask) -> Work:
        conf: dict[str, Any] = {"log": ask.log}
        if ask.endless:
            conf["endless"] = True
        if ask.exit_code:
            conf["fail"] = ask.exit_code
        if ask.result is not None:
            conf["result"] = ask.result
        work = AirflowWork(dag_id="conformance", conf=conf)
        self._started.append((key, work))
        return work

    def wrong_work(self) -> tuple[Work, str]:
        return AirflowWork(dag_id="no_such_dag"), "work.dag_id"

    async def submit_unheard(self, submission: Submission) -> None:
        deaf = self.deaf_engine("/dagRuns")
        try:
            with pytest.raises(EngineUnavailable):
                await deaf.submit(submission)
        finally:
            await deaf.close()

    async def starts(self, key: str) -> int:
        """Airflow calls a run running before its first task has begun: wait for it, or for the end."""

        async def settled() -> bool:
            if self.server.starts(key):
                return True
            run = await self.api("GET", f"/dags/conformance/dagRuns/{key}")
            return run.get("state") not in ("queued", "running")

        await until(settled, f"the work of {key} began, or there is none")
        return self.server.starts(key)

    async def api(self, method: str, path: str, body: Any = None) -> Any:
        """A call of the tests themselves; an empty object for what Airflow does not have."""
        client = self.client()
        try:
            answer = await client.call(method, path, body=body)
            return {} if answer.status in (204, 404) else json.loads(answer.body)
        finally:
            await client.close()

    def out_of_reach(self) -> Engine:
        return AirflowEngine(AirflowClient("http://127.0.0.1:1", credentials, timeout_seconds=5))

    async def end_all(self) -> None:
        """Release what is endless, so that its process ends by itself, and wait for the end of all."""
        for key, _ in self._started:
            (self.server.stamps / f"{key}.release").touch()
        runs = [Watched(key, 1, f"conformance/{key}") for key, _ in self._started]
        self._started.clear()

        async def ended() -> bool:
            seen = await self.engine.observe(runs)
            return all(one.phase in ENDS or one.handle is None for one in seen.values())

        await until(ended, "every run ended")


class RunningServer(AirflowServer):
    """An Airflow that runs already, at the address of `SIGNALBOX_TEST_AIRFLOW` (`url folder`): to write tests with."""

    def __init__(self) -> None:
        self._url, folder = os.environ["SIGNALBOX_TEST_AIRFLOW"].split()
        self.folder = Path(folder)
        self.stamps = self.folder / "stamps"
        self.dags = self.folder / "dags"

    @property
    def url(self) -> str:
        return self._url
