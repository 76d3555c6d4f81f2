"""The ledger: what workers that die, hang and come twice leave behind, and what their role may."""

import json
import signal
from pathlib import Path

import asyncpg
import pytest

from signalbox_chassis.persistence.connection import connect
from signalbox_contracts.states import PlanState
from signalbox_reprocessor.store import jobs, states
from support.proofs import proves
from support.reprocessing import Reprocessors, reprocessors_on, write_events

BATCH = 200
SLOW = {"batch_size": BATCH, "max_events_per_second": 4000}
_JOB = """
INSERT INTO job (id, operation_id, config, engine, definitions_revision, project, actor, reason, created_at)
VALUES (gen_random_uuid(), gen_random_uuid(), '{}', 'process', 1, 'default', 'user:ann', '', now())
"""


async def test_workers_killed_again_and_again_lose_nothing_and_repeat_at_most_a_batch_each_time(
    reprocessors: Reprocessors,
) -> None:
    write_events(reprocessors.events, 4, 1500)
    job = await reprocessors.planned(**SLOW)
    kills = 0
    while (worker := reprocessors.start_worker(job)) and kills < 4:
        await reprocessors.until_sent(job, await reprocessors.sent_by(job) + 300)
        worker.kill()
        worker.wait()
        kills += 1
    assert await reprocessors.exit_code(worker) == 0
    delivered = await reprocessors.delivered()
    assert len(delivered) == 6000, "each event came"
    assert sum(delivered.values()) - 6000 <= BATCH * kills
    assert await reprocessors.sums(job) == (6000, 6000, 0, 0)
    assert await reprocessors.judged(job, PlanState.SUCCEEDED) == ("completed", None)


@proves("reprocessor.worker.ledger: the worker's row is changed first")
async def test_an_older_copy_of_a_worker_that_thaws_changes_nothing(reprocessors: Reprocessors) -> None:
    write_events(reprocessors.events, 2, 2000)
    job = await reprocessors.planned(**SLOW)
    older = reprocessors.start_worker(job)
    await reprocessors.until_sent(job, 0)
    older.send_signal(signal.SIGSTOP)
    assert await reprocessors.exit_code(reprocessors.start_worker(job)) == 0
    ledger = await reprocessors.ledger(job)
    older.send_signal(signal.SIGCONT)
    assert await reprocessors.exit_code(older) == 75
    assert await reprocessors.ledger(job) == ledger
    assert await reprocessors.sums(job) == (4000, 4000, 0, 0)
    assert len(await reprocessors.delivered()) == 4000


@proves("reprocessor.store.jobs: the fence moves, so that a copy that")
async def test_a_worker_that_runs_on_after_its_job_ended_changes_nothing(reprocessors: Reprocessors) -> None:
    write_events(reprocessors.events, 1, 4000)
    job = await reprocessors.planned(**SLOW)
    worker = reprocessors.start_worker(job)
    await reprocessors.until_sent(job, 0)
    worker.send_signal(signal.SIGSTOP)
    assert await reprocessors.judged(job, PlanState.CANCELLED) == ("cancelled", None)
    sent = await reprocessors.sent_by(job)
    worker.send_signal(signal.SIGCONT)
    assert await reprocessors.exit_code(worker) == 75
    assert await reprocessors.sent_by(job) == sent


@proves("reprocessor.migrations.0001_tables: a worker's role sees and")
async def test_the_role_of_workers_reaches_the_rows_of_its_own_job_alone(reprocessors: Reprocessors) -> None:
    write_events(reprocessors.events, 1, 2)
    mine, other = await reprocessors.planned(), await reprocessors.planned()
    config = json.loads((reprocessors.jobs_folder / str(mine) / "config.json").read_text())
    connection = await connect(config["database_url"], timeout=10, server_settings={"search_path": reprocessors.schema})
    try:
        assert await connection.fetch("SELECT * FROM worker") == [], "without a token there is nothing"
        await connection.execute("SELECT set_config('signalbox.job_token', $1, false)", config["token"])
        for seen in ("SELECT job_id FROM worker", "SELECT job_id FROM file"):
            assert {row["job_id"] for row in await connection.fetch(seen)} == {mine}
        assert await connection.execute("UPDATE worker SET status = 'failed' WHERE job_id = $1", other) == "UPDATE 0"
        for refused in (
            "UPDATE worker SET total_bytes = 0", "UPDATE file SET path = 'x'", "SELECT * FROM job",
            "DELETE FROM file", "INSERT INTO job_token VALUES ('x', gen_random_uuid())",
        ):  # fmt: skip
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(refused)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("INSERT INTO bad_line VALUES ($1, 0, 1, 0, 'x', 'x')", other)
    finally:
        await connection.close()


@proves("reprocessor.store.jobs: one reprocessor lists a job at a tim")
@proves("reprocessor.store.states: a job's state is made by one repro")
async def test_two_reprocessors_never_hold_one_job(postgres_url: str, kafka_bootstrap: str, tmp_path: Path) -> None:
    async with reprocessors_on(postgres_url, kafka_bootstrap, tmp_path) as quiet:
        await quiet.rows(_JOB)
        async with quiet.connection() as one, quiet.connection() as two:
            async with one.transaction(), two.transaction():
                taken = await jobs.take_unlisted(one, 60)
                assert taken is not None
                assert await jobs.take_unlisted(two, 60) is None, "the row is locked"
                assert await states.due(two) == [], "so is its state"
            async with two.transaction():
                assert await jobs.take_unlisted(two, 60) is None, "it is the first one's for a minute"
            await quiet.rows("UPDATE job SET listing_until = now() - interval '1 second'")
            async with two.transaction():
                assert await jobs.take_unlisted(two, 60) is not None, "the first one died"
