"""Secrets from the vault to a real process, and nowhere else; and logs, masked, also when an executor is killed."""

import base64
import gzip
import json
import os
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, TopicPartition

from engines.harness import until
from engines.process.harness import SHELL
from signalbox_chassis.messaging.topics import create_topics
from signalbox_chassis.persistence.migrations import provision
from signalbox_chassis.security.vault import Vault, provision_vault
from signalbox_contracts.definitions.rules import Retries
from signalbox_contracts.definitions.work import ProcessWork, ScriptedWork
from signalbox_contracts.ids import run_key
from signalbox_executor.engines.port import Watched
from signalbox_executor.engines.process.adapter import ProcessEngine
from support.executor import TOPICS, Stand, Store, ensure, rules_of, spec
from support.proofs import proves

VALUE = "correct-horse-battery-staple"


@dataclass
class Place:
    """An executor's stand with a vault, a blob folder and a process engine `local`."""

    stand: Stand
    vault: Vault
    blobs: Path
    settings: dict[str, str]

    async def start(self, shell: str, *, environment: dict[str, str] | None = None, **changes: Any) -> uuid.UUID:
        """One task of this text; returns its id."""
        plan = uuid.uuid4()
        work = ProcessWork(argv=(str(SHELL), "-c", shell), environment=environment or {})
        values: dict[str, Any] = {"engine": "local", "work": work, "retries": Retries(max_attempts=1), **changes}
        task = spec(plan, 0, **values)
        await self.stand.send(rules_of(plan), ensure(plan, [task]))
        return task.task_id

    async def state(self, task: uuid.UUID) -> Any:
        rows = await self.stand.rows("SELECT state, cause, error, attempt FROM task WHERE id = $1", task)
        return tuple(rows[0].values()) if rows else (None, None, None, None)

    async def ends(self, task: uuid.UUID) -> Any:
        async def ended() -> bool:
            return (await self.state(task))[0] in ("SUCCEEDED", "FAILED", "CANCELLED")

        await until(ended, "the task ended")
        return await self.state(task)

    def log(self, task: uuid.UUID, attempt: int = 1) -> str:
        """What is stored so far; the chunks must follow each other without a gap."""
        stored = b""
        for path in sorted((self.blobs / "logs" / str(task) / str(attempt)).glob("*.gz")):
            assert int(path.name.partition(".")[0]) == len(stored)
            stored += gzip.decompress(path.read_bytes())
        return stored.decode()

    async def full_log(self, task: uuid.UUID, attempt: int = 1) -> str:
        folder = self.blobs / "logs" / str(task) / str(attempt)
        end = folder / "end.json"

        async def complete() -> bool:
            return end.exists() or any(folder.glob("*.last.gz"))

        await until(complete, "the log is complete")
        stored = self.log(task, attempt)
        if end.exists():
            assert json.loads(end.read_text()) == {"bytes": len(stored.encode()), "truncated": False}
        return stored


@pytest_asyncio.fixture
async def place(store: Store, postgres_url: str, kafka_bootstrap: str, tmp_path: Path) -> AsyncGenerator[Place]:
    writer, schema = f"{store.schema}_w", f"{store.schema}_s"
    url = await provision(postgres_url, role=writer, password=uuid.uuid4().hex, schema=writer)
    readers = {store.schema: ("work", "engine")}
    await provision_vault(postgres_url, writer_role=writer, readers=readers, schema=schema)
    key = base64.b64encode(os.urandom(32)).decode()
    stand = Stand(store.url, store.schema, kafka_bootstrap, "http://127.0.0.1:1", tmp_path)
    await create_topics(kafka_bootstrap, TOPICS, prefix=stand.prefix)
    await stand.register("local", connection={"kind": "process"})
    vault = Vault(url, keys=key, schema=schema)
    settings = {
        "process_folder": str(tmp_path / "process"),
        "process_programs": str(SHELL),
        "process_user": "0" if os.geteuid() == 0 else "",
        "blob_url": f"file://{tmp_path / 'blobs'}",
        "secret_key": key,
        "secrets_url": store.url,
        "secrets_schema": schema,
        "log_seconds": "0.2",
    }
    yield Place(stand, vault, tmp_path / "blobs", settings)
    stand.stop_children()
    await vault.stop()
    connection: Any = await asyncpg.connect(postgres_url)  # pyright: ignore[reportUnknownVariableType]
    await connection.execute(f"DROP SCHEMA {schema} CASCADE; DROP SCHEMA {writer} CASCADE; DROP OWNED BY {writer}")
    await connection.execute(f"DROP ROLE {writer}")
    await connection.close()


async def bytes_in_topics(stand: Stand) -> bytes:
    """Everything in every topic of this stand."""
    consumer: Any = AIOKafkaConsumer(bootstrap_servers=stand.bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:
        parts = [TopicPartition(t.full_name(stand.prefix), n) for t in TOPICS for n in range(t.partitions)]
        consumer.assign(parts)
        await consumer.seek_to_beginning(*parts)
        ends = await consumer.end_offsets(parts)
        found = b""
        while any([await consumer.position(part) < ends[part] for part in parts]):
            for batch in (await consumer.getmany(timeout_ms=200)).values():
                for record in batch:
                    found += (record.value or b"") + repr(record.headers).encode()
        return found
    finally:
        await consumer.stop()


async def text_of_tables(stand: Stand) -> str:
    tables = await stand.rows("SELECT tablename FROM pg_tables WHERE schemaname = $1", stand.schema)
    return "".join([str(await stand.rows(f"SELECT t::text FROM {row['tablename']} t")) for row in tables])  # noqa: S608


async def test_a_process_gets_the_value_and_nothing_else_holds_it(
    place: Place, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    await place.vault.set("db", VALUE, ["work"])
    seen = place.stand.folder / "seen"
    # in two parts, so that no stored piece may end where the value is only begun
    shell = (
        f'printf %s "$PASSWORD" > \'{seen}\'; echo begin $PASSWORD; printf %s "${{PASSWORD%%-*}}"; sleep 0.6;'
        ' echo "-${PASSWORD#*-}"; echo "$URL"'
    )
    async with place.stand.running(**place.settings):
        task = await place.start(shell, environment={"PASSWORD": "secret://db", "URL": "pg://me:secret://db@host/x"})
        assert (await place.ends(task))[0] == "SUCCEEDED"
        log = await place.full_log(task)
    stars = "*" * len(VALUE)
    assert seen.read_text() == VALUE
    assert log == f"begin {stars}\n{stars}\npg://me:{stars}@host/x\n"
    assert VALUE.encode() not in await bytes_in_topics(place.stand)
    tables = await text_of_tables(place.stand)
    assert "secret://db" in tables  # the scan sees what is there
    assert VALUE not in tables
    assert VALUE not in "".join(capsys.readouterr()) + caplog.text
    for path in place.blobs.rglob("*"):
        assert not path.is_file() or VALUE.encode() not in path.read_bytes()


async def test_a_secret_in_a_result_is_stars_wherever_the_result_goes(place: Place) -> None:
    """Results are read by whoever may read tasks, by later steps and by notifications: logs alone are not enough.

    The value is changed while the task runs: what counts is what it was given.
    """
    await place.vault.set("db", VALUE, ["work"])
    gate = place.stand.folder / "gate"
    written = (
        f"until [ -e '{gate}' ]; do :; done; "
        """printf '{"url": "pg://%s@host", "%s": [1, "\\u0063%s"], "n": 12}' "$P" "$P" "${P#c}" >"$SIGNALBOX_RESULT" """
    )
    async with place.stand.running(**place.settings):
        task = await place.start(written, environment={"P": "secret://db"})

        async def runs() -> bool:
            return (await place.state(task))[0] == "RUNNING"

        await until(runs, "the task runs")
        await place.vault.set("db", "another-value-of-the-secret", ["work"])
        gate.touch()
        assert (await place.ends(task))[0] == "SUCCEEDED"
        plain = await place.start("""echo '{"word": "correct"}' > "$SIGNALBOX_RESULT" """)
        assert (await place.ends(plain))[0] == "SUCCEEDED"
    rows = await place.stand.rows("SELECT result::text AS result FROM task WHERE id = ANY ($1)", [task, plain])
    stars = "*" * len(VALUE)
    assert [json.loads(row["result"]) for row in sorted(rows, key=lambda row: len(row["result"]))] == [
        {"word": "correct"},
        {"url": f"pg://{stars}@host", stars: [1, stars], "n": 12},
    ]
    assert VALUE.encode() not in await bytes_in_topics(place.stand)
    assert VALUE not in await text_of_tables(place.stand)


async def test_what_a_run_wrote_is_withheld_where_nobody_can_tell_its_secrets(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shown unmasked it would be disclosed; left unwritten the task would run for ever."""

    async def unreadable(self: ProcessEngine, watched: Watched) -> frozenset[str]:
        raise ValueError("the record is damaged")

    monkeypatch.setattr(ProcessEngine, "secrets", unreadable)
    await place.vault.set("db", VALUE, ["work"])
    async with place.stand.running(**place.settings):
        other = await place.start("""echo 1 > "$SIGNALBOX_RESULT" """)
        task = await place.start("""printf '"%s"' "$P" > "$SIGNALBOX_RESULT" """, environment={"P": "secret://db"})
        state, _, error, _ = await place.ends(task)
        assert (await place.ends(other))[0] == "SUCCEEDED"
    assert state == "FAILED"
    assert "is withheld" in error
    assert VALUE not in await text_of_tables(place.stand)


@pytest.mark.parametrize(
    ("uses", "reference", "why"),
    [([], "secret://none", "no secret 'none'"), (["channel"], "secret://other", "is not for use 'work'")],
)
async def test_a_secret_that_cannot_be_read_fails_the_attempt_at_once_and_names_it(
    place: Place, uses: list[str], reference: str, why: str
) -> None:
    if uses:
        await place.vault.set("other", VALUE, uses)
    async with place.stand.running(**place.settings):
        task = await place.start(
            "true", environment={"PASSWORD": reference}, retries=Retries(max_attempts=5, delay_seconds=0)
        )
        state, cause, error, attempt = await place.ends(task)
    assert (state, cause, attempt) == ("FAILED", "refused", 1)
    assert why in error
    assert "work.environment.PASSWORD" in error
    assert not list((place.stand.folder / "process" / "runs").glob("*/started.json"))


async def test_a_secret_in_the_arguments_or_for_another_kind_of_engine_is_refused(place: Place) -> None:
    await place.vault.set("db", VALUE, ["work"])
    async with place.stand.running(**place.settings):
        task = await place.start("echo secret://db")
        state, _, error, _ = await place.ends(task)
        assert state == "FAILED"
        assert "work.argv.2" in error
        other = await place.start("", work=ScriptedWork(script={"log": "secret://db"}))
        assert "work.script.log" in (await place.ends(other))[2]


async def test_a_program_outside_the_list_is_refused_with_the_field(place: Place) -> None:
    async with place.stand.running(**place.settings):
        task = await place.start("", work=ProcessWork(argv=("/bin/none-of-these",)))
        state, cause, error, _ = await place.ends(task)
    assert (state, cause) == ("FAILED", "refused")
    assert "work.argv[0]" in error
    assert str(SHELL) in error


async def test_a_log_is_stored_while_the_process_runs(place: Place) -> None:
    async with place.stand.running(**place.settings):
        gate = place.stand.folder / "gate"
        task = await place.start(f"echo first; while [ ! -e '{gate}' ]; do sleep 0.05; done; echo second")
        await until(_log_has(place, task, "first\n"), "the first line is stored")
        gate.touch()
        assert await place.full_log(task) == "first\nsecond\n"


async def test_each_attempt_has_a_log_of_its_own(place: Place) -> None:
    async with place.stand.running(**place.settings):
        retries = Retries(max_attempts=2, delay_seconds=0, max_delay_seconds=0)
        task = await place.start("echo attempt $SIGNALBOX_ATTEMPT; exit 1", retries=retries)
        assert [await place.full_log(task, attempt) for attempt in (1, 2)] == ["attempt 1\n", "attempt 2\n"]


@pytest.mark.parametrize("point", ["", "executor.log_stored"])
@proves("executor.store.logs: one worker at a time", "executor.store.logs: `bytes` never goes back")
async def test_a_process_and_its_log_outlast_a_killed_executor(place: Place, point: str) -> None:
    """Killed while it runs, or between a stored chunk and the word of it: the next goes on without gap."""
    gate, names = place.stand.folder / "gate", {f"SIGNALBOX_{n.upper()}": v for n, v in place.settings.items()}
    first = place.stand.spawn(**names, **({"SIGNALBOX_CRASH_AT": point} if point else {}))
    task = await place.start(f"echo first; while [ ! -e '{gate}' ]; do sleep 0.05; done; echo second; exit 3")
    await until(_log_has(place, task, "first\n"), "the first line is stored")
    if not point:
        first.kill()
    first.wait()
    place.stand.spawn(**names)
    gate.touch()
    state, _, _, attempt = await place.ends(task)
    assert (state, attempt) == ("FAILED", 1)
    assert await place.full_log(task) == "first\nsecond\n"
    runs = place.stand.folder / "process" / "runs"
    assert [run.name for run in runs.iterdir()] == [run_key(task, 1)]


@pytest.mark.parametrize(("lines", "truncated"), [(10_000, False), (40_000, True)])
async def test_of_a_long_log_the_beginning_and_the_end_are_kept(place: Place, lines: int, truncated: bool) -> None:
    async with place.stand.running(**place.settings, log_max_bytes=65_536):
        first = 10_001
        task = await place.start(f"PATH=/usr/bin:/bin; seq {first} {first + lines - 1}")
        folder = place.blobs / "logs" / str(task) / "1"

        async def complete() -> bool:
            return (folder / "end.json").exists()

        await until(complete, "the log is complete")
    ended = json.loads((folder / "end.json").read_text())
    pieces = [
        (int(path.name.removesuffix(".gz")), gzip.decompress(path.read_bytes())) for path in sorted(folder.glob("*.gz"))
    ]
    end = pieces[-1][0] + len(pieces[-1][1])
    assert ended == {"bytes": end, "truncated": truncated}
    stored = sum(len(data) for _, data in pieces)
    assert (stored < end) == truncated
    assert stored <= 65_536 + 16_384
    assert pieces[0][0] == 0
    assert pieces[-1][1].endswith(f"{10_000 + lines}\n".encode())


def _log_has(place: Place, task: uuid.UUID, text: str) -> Callable[[], Awaitable[bool]]:
    async def written() -> bool:
        return place.log(task) == text

    return written
