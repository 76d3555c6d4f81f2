"""A real Airflow for the tests: API server, scheduler and DAG processor on the loopback address, on PostgreSQL.

On SQLite it answers 500 (database is locked) to calls that come at once.

Each process leads a session of its own, so that its end takes its workers with it. Without `--skip-serve-logs` the
scheduler would open a log server on every address of the machine.
"""

import asyncio
import hmac
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar, Final, Self
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from engines.airflow.distribution import airflow_environment

START_SECONDS: Final = 180
STOP_SECONDS: Final = 4
USERNAME: Final = "admin"
PASSWORD: Final = "correct horse battery"
HOLD_LOCK: Final = """
import psycopg2, sys
connection = psycopg2.connect(sys.argv[1])
connection.cursor().execute("LOCK TABLE dag_run IN SHARE ROW EXCLUSIVE MODE")
print("held", flush=True)
sys.stdin.read()
"""
DELETE_RUN: Final = """
import psycopg2, sys
with psycopg2.connect(sys.argv[1]) as connection:
    connection.cursor().execute("DELETE FROM dag_run WHERE run_id = %s", [sys.argv[2]])
"""
TEST_DAGS: Final = Path(__file__).with_name("dags")
EXAMPLE_DAGS: Final = Path(__file__).parents[3] / "compose" / "airflow" / "dags"


class AirflowServer:
    """One Airflow 3 in a folder. Its processes can be killed and started again on the same database.

    `postgres_url` names a server and an account that may create databases.
    """

    major: ClassVar[int] = 3
    version: ClassVar[str] = "3.3.2"
    api: ClassVar[str] = "/api/v2"
    health: ClassVar[str] = "/api/v2/monitor/health"
    parts: ClassVar[Sequence[str]] = ("metadatabase", "scheduler", "dag_processor")
    """What must be healthy."""
    commands: ClassVar[Mapping[str, Sequence[str]]] = {
        "api-server": ("api-server",),
        "scheduler": ("scheduler", "--skip-serve-logs"),
        "dag-processor": ("dag-processor",),
    }

    def __init__(self, folder: Path, postgres_url: str, *, token_seconds: int = 60) -> None:
        self.folder = folder
        self._postgres_url = postgres_url
        self._database = f"airflow_{secrets.token_hex(4)}"
        self.stamps = folder / "stamps"
        self.dags = folder / "dags"
        self._environment_folder = airflow_environment(self.major)
        self._port = _free_port()
        self._token_seconds = token_seconds
        self._secret = secrets.token_hex(32)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self.stamps.mkdir(parents=True)
        self.dags.mkdir()
        self._copy_dags([*TEST_DAGS.glob("*.py"), *EXAMPLE_DAGS.glob("*.py")])
        (self.folder / "passwords.json").write_text(json.dumps({USERNAME: PASSWORD}))
        self._make_database()
        self.start()
        try:
            self.wait_healthy()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, names: Sequence[str] = ()) -> None:
        """Start these processes, or all; `wait_healthy` says when they serve."""
        for name in names or self.commands:
            with (self.folder / f"{name}.log").open("ab") as log:
                self._processes[name] = subprocess.Popen(
                    [self._program("airflow"), *self.commands[name]],
                    env=self._environment(), cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    start_new_session=True,
                )  # fmt: skip

    def kill(self, names: Sequence[str] = ()) -> None:
        """End these processes, or all, at once, with everything they started."""
        for name in names or self.commands:
            process = self._processes.pop(name, None)
            if process is not None:
                _end_group(process, signal.SIGKILL)

    def stop(self) -> None:
        """End everything: politely first, so that Airflow's workers end as well."""
        for process in self._processes.values():
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while any(process.poll() is None for process in self._processes.values()) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.kill()

    def wait_healthy(self) -> None:
        """Wait until every part reports that it is healthy and the test DAGs are parsed."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            missing = self._missing()
            if not missing:
                return
            for name, process in self._processes.items():
                if process.poll() is not None:
                    raise AssertionError(f"{name} ended with {process.returncode}: {self._last_lines(name)}")
            assert time.monotonic() < deadline, f"Airflow is not ready: {missing}"
            time.sleep(0.1)

    def _missing(self) -> str:
        """What is not ready yet; empty if all is."""
        try:
            health = self._get(self.health)
            unhealthy = [part for part in self.parts if (health.get(part) or {}).get("status") != "healthy"]
            if unhealthy:
                return ", ".join(unhealthy)
            dags: set[str] = {
                dag["dag_id"] for dag in self._get(f"{self.api}/dags?limit=100", self.authorization())["dags"]
            }
            wanted = {path.stem for path in self.dags.glob("*.py") if not path.stem.startswith("broken")}
            return f"DAGs {', '.join(sorted(wanted - dags))}" if wanted - dags else ""
        except (OSError, ValueError) as error:
            return str(error)

    def authorization(self) -> str:
        """The header for calls of the tests themselves."""
        return f"Bearer {self.token()}"

    def token(self) -> str:
        body = json.dumps({"username": USERNAME, "password": PASSWORD}).encode()
        request = urllib.request.Request(
            f"{self.url}/auth/token", data=body, headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            token: str = json.load(response)["access_token"]
            return token

    def expired_token(self) -> str:
        """A token of this server whose time is over."""
        head, claims, _ = self.token().split(".")
        payload = json.loads(_unpacked(claims))
        body = f"{head}.{_packed(json.dumps({**payload, 'iat': 1, 'nbf': 1, 'exp': 2}).encode())}"
        return f"{body}.{_packed(hmac.digest(self._secret.encode(), body.encode(), 'sha512'))}"

    def starts(self, key: str) -> int:
        """How many times a task of this run wrote its stamp."""
        path = self.stamps / key
        return len(path.read_text().splitlines()) if path.exists() else 0

    @contextmanager
    def runs_locked(self) -> Generator[None]:
        """Inside, Airflow writes no run: a call that starts one is under way until the end."""
        with subprocess.Popen(
            self._sql(HOLD_LOCK), stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=self.folder
        ) as holder:
            assert holder.stdin is not None
            assert holder.stdout is not None
            assert holder.stdout.readline(), "the lock was not taken"
            yield
            holder.stdin.close()

    def forget(self, dag_run_id: str) -> None:
        """Remove a run while it runs, which the API refuses."""
        subprocess.run([*self._sql(DELETE_RUN), dag_run_id], cwd=self.folder, timeout=60, check=True)

    def _sql(self, script: str) -> tuple[str, ...]:
        return self._program("python"), "-c", script, self._sqlalchemy_url("postgresql")

    def _get(self, path: str, authorization: str = "") -> Any:
        headers = {"Authorization": authorization} if authorization else {}
        request = urllib.request.Request(self.url + path, headers=headers)
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)

    def _copy_dags(self, sources: Sequence[Path]) -> None:
        for source in sources:
            shutil.copy(source, self.dags)

    def _make_database(self) -> None:
        with ThreadPoolExecutor(1) as beside:  # the caller may be on an event loop
            beside.submit(asyncio.run, _create_database(self._postgres_url, self._database)).result()
        self._airflow("db", "migrate")

    def _airflow(self, *words: str) -> None:
        """Run one command of Airflow to its end."""
        done = subprocess.run(
            [self._program("airflow"), *words], env=self._environment(), cwd=self.folder, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=START_SECONDS,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-2000:].decode(errors="replace")

    def _sqlalchemy_url(self, driver: str) -> str:
        parts = urlsplit(self._postgres_url)
        return urlunsplit((driver, parts.netloc, f"/{self._database}", "", ""))

    def _program(self, name: str) -> str:
        return str(self._environment_folder / "bin" / name)

    def _last_lines(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")[-2000:]

    def _environment(self) -> dict[str, str]:
        path = f"{self._environment_folder / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
        kept = {name: value for name, value in os.environ.items() if name in ("LANG", "LC_ALL", "TZ", "TMPDIR")}
        return {
            **kept,
            "PATH": path,
            "HOME": str(self.folder),
            "AIRFLOW_HOME": str(self.folder),
            "PYTHONWARNINGS": "ignore",
            "SIGNALBOX_TEST_STAMPS": str(self.stamps),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self._sqlalchemy_url("postgresql+psycopg2"),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "8",
            "AIRFLOW__CORE__MAX_ACTIVE_RUNS_PER_DAG": "1000",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
            "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "2",
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(self.folder / "logs"),
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            **self._own_settings(),
        }

    def _own_settings(self) -> dict[str, str]:
        """What this major version alone knows."""
        return {
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": self._sqlalchemy_url("postgresql+asyncpg"),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USERNAME}:admin",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self.folder / "passwords.json"),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self._port),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API_AUTH__JWT_SECRET": self._secret,
            "AIRFLOW__API_AUTH__JWT_EXPIRATION_TIME": str(self._token_seconds),
            "AIRFLOW__API_AUTH__JWT_LEEWAY": "0",
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",  # a busy machine: the default of 5 s fails good tasks
            "AIRFLOW__WORKERS__EXECUTION_API_RETRIES": "10",
            "AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MAX": "5",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "2",
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "5",
        }


def _packed(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _unpacked(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


async def _create_database(url: str, name: str) -> None:
    connection: Any = await asyncpg.connect(url)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    try:
        await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        await connection.close()


def _end_group(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, how)
    process.wait(timeout=20)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
