"""The real Airflow 3 as the conformance suite, the crash points and the fault tests need it."""

import json
import os
import shutil
import tempfile
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar, Self

import pytest

from engines.airflow.distribution import wanted_major
from engines.airflow.server import PASSWORD, USERNAME, AirflowServer
from engines.airflow.server_2_x import Airflow2Server
from engines.harness import EngineHarness, WorkRequest, until
from signalbox_contracts.definitions.work import AirflowWork, Work
from signalbox_executor.engines.airflow.adapter import AirflowEngine
from signalbox_executor.engines.airflow.client import AirflowClient, Answer, Credentials, Query
from signalbox_executor.engines.port import ENDS, Engine, EngineUnavailable, Submission, Watched
from signalbox_local.postgres import PostgresServer
from support.servers import FAST

FRESH_SECONDS = 0.2
CALL_SECONDS = 90.0
"""A machine may be busy: Airflow then takes half a minute to answer."""


async def credentials() -> Credentials:
    return Credentials(username=USERNAME, password=PASSWORD)


class CountingClient(AirflowClient):
    """Counts its logins, and can be given a token that Airflow does not take."""

    tokens: ClassVar[set[str]] = set()
    """Every token that was given out."""

    def use_token(self, token: str) -> None:
        self._token, self._token_at = token, float("-inf")

    async def _log_in(self, credentials: Credentials, *, old: str) -> str:
        token = await super()._log_in(credentials, old=old)
        self.tokens.add(token)
        return token


class DeafClient(CountingClient):
    """Loses the answer of one call for each of these ends of a path, after Airflow has done what it asks."""

    def __init__(self, *arguments: Any, loses: Sequence[str], **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._loses = list(loses)

    async def call(self, method: str, path: str, query: Query | None = None, body: Any = None, **how: Any) -> Answer:
        answer = await super().call(method, path, query, body, **how)
        lost = next((end for end in self._loses if path.endswith(end)), None)
        if method in ("POST", "PATCH") and lost is not None:
            self._loses.remove(lost)
            raise EngineUnavailable(self.name, "the answer was lost")
        return answer


class Harness(EngineHarness):
    """One Airflow; every test takes run keys of its own."""

    kind = "airflow"
    lost_answer_point = "airflow.answered"
    plain_logs = False
    begins_late = True
    running: ClassVar["AirflowServer | None"] = None
    """The server of this test run, if it is started already: a start takes a quarter of a minute."""

    def __init__(self, server: AirflowServer, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.connection = {"kind": "airflow", "url": server.url, "access": {"timeout_seconds": CALL_SECONDS}}
        self.settings = {
            "SIGNALBOX_AIRFLOW_URL": server.url,
            "SIGNALBOX_AIRFLOW_USERNAME": USERNAME,
            "SIGNALBOX_AIRFLOW_PASSWORD": PASSWORD,
        }
        self._started: list[str] = []

    @classmethod
    @contextmanager
    def started(cls, folder: Path) -> Generator[Self]:
        if cls.running is not None:
            yield cls(cls.running, folder)
        elif "SIGNALBOX_TEST_AIRFLOW" in os.environ:
            yield cls(RunningServer(), folder)
        else:
            with database() as url, server_class()(folder / "airflow", url) as server:
                cls.running = server
                try:
                    yield cls(server, folder)
                finally:
                    cls.running = None

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[Self]:
        self.engine = self.fresh_engine()
        try:
            yield self
        finally:
            await self.end_all()
            await self.engine.close()

    @property
    def adapter(self) -> AirflowEngine:
        assert isinstance(self.engine, AirflowEngine)
        return self.engine

    def client(self) -> CountingClient:
        return CountingClient(
            self.server.url, credentials, timeout_seconds=CALL_SECONDS, http_session=self.context().http_session
        )

    def client_as(self, who: Credentials) -> AirflowClient:
        async def read() -> Credentials:
            return who

        return AirflowClient(
            self.server.url, read, timeout_seconds=CALL_SECONDS, http_session=self.context().http_session
        )

    def fresh_engine(self, fresh_seconds: float = FRESH_SECONDS) -> AirflowEngine:
        """An adapter that remembers nothing, as that of an executor that took over."""
        return AirflowEngine(self.client(), fresh_seconds=fresh_seconds)

    def deaf_engine(self, *loses: str) -> AirflowEngine:
        client = DeafClient(
            self.server.url, credentials, loses=loses, timeout_seconds=CALL_SECONDS,
            http_session=self.context().http_session,
        )  # fmt: skip
        return AirflowEngine(client, fresh_seconds=FRESH_SECONDS)

    def work(self, key: str, request: WorkRequest) -> Work:
        if request.refused:
            return AirflowWork(dag_id="no_such_dag")
        conf: dict[str, Any] = {"log": request.log}
        if request.endless:
            conf["endless"] = True
        if request.exit_code:
            conf["fail"] = request.exit_code
        if request.result is not None:
            conf["result"] = request.result
        self._started.append(key)
        return AirflowWork(dag_id="conformance", conf=conf)

    def wrong_work(self) -> tuple[Work, str]:
        return AirflowWork(dag_id="no_such_dag"), "work.dag_id"

    async def submit_without_answer(self, submission: Submission) -> None:
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

    async def out_of_reach(self) -> Engine:
        return await self.open(url="http://127.0.0.1:1")

    async def end_all(self) -> None:
        """Release what is endless, so that its process ends by itself, and wait for the end of all."""
        for key in self._started:
            self.clean(key)
        runs = [Watched(key, 1, f"conformance/{key}") for key in self._started]
        self._started.clear()

        async def ended() -> bool:
            with suppress(EngineUnavailable):
                seen = await self.engine.observe(runs)
                return all(one.phase in ENDS or one.handle is None for one in seen.values())
            return False

        await until(ended, "every run ended")

    @contextmanager
    def late(self, key: str) -> Generator[None]:
        with self.server.runs_locked():
            yield

    def clean(self, key: str) -> None:
        (self.server.stamps / f"{key}.release").touch()

    def forget(self, key: str) -> None:
        self.server.forget(key)


class RunningServer(AirflowServer):
    """An Airflow that runs already, at the address of `SIGNALBOX_TEST_AIRFLOW` (`url folder`): to write tests with."""

    def __init__(self) -> None:
        self._url, folder = os.environ["SIGNALBOX_TEST_AIRFLOW"].split()
        self.folder = Path(folder)
        self.stamps = self.folder / "stamps"
        self.dags = self.folder / "dags"
        self._secret = (self.folder.parent / "secret").read_text()

    @property
    def url(self) -> str:
        return self._url


def server_class() -> type[AirflowServer]:
    """The Airflow to test with."""
    return Airflow2Server if wanted_major() == 2 else AirflowServer


@contextmanager
def database() -> Generator[str]:
    """A PostgreSQL of its own, where another account may read it."""
    runs = Path(__file__).parents[3] / ".local" / "test-runs"
    runs.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=runs, prefix="airflow-"))
    folder.chmod(0o755)
    server = PostgresServer(folder / "postgres", settings=FAST)
    server.start()
    try:
        yield server.url
    finally:
        server.stop("immediate")
        shutil.rmtree(folder, ignore_errors=True)
