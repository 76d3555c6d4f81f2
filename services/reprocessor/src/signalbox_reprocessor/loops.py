"""The loops: list the files of new jobs and plan their workers; publish states; remove folders of ended jobs."""

import asyncio
import hashlib
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic_core import to_json

from signalbox_chassis.persistence.connection import Row
from signalbox_chassis.persistence.database import Database
from signalbox_chassis.runtime.clock import Clock
from signalbox_contracts.definitions.reprocessing import DEFAULT_BATCH_SIZE, ReprocessingConfig, count_workers
from signalbox_contracts.messages.states import Outcome
from signalbox_reprocessor import facts, job_folder
from signalbox_reprocessor.distribution import JobRefused, ListedFile, assign, choose_files
from signalbox_reprocessor.listing import list_files
from signalbox_reprocessor.settings import ReprocessorSettings
from signalbox_reprocessor.store import jobs, states

START = "reprocessing.start"


class Reprocessing:
    """What the loops work with."""

    def __init__(self, database: Database, clock: Clock, settings: ReprocessorSettings) -> None:
        self._database = database
        self._clock = clock
        self._settings = settings
        self._folder = Path(settings.reprocessing_folder) if settings.reprocessing_folder else None

    async def plan_jobs(self) -> bool:
        """List the files of one job and start its workers, or refuse it. True: there was one."""
        async with self._database.unit_of_work() as work:
            job = await jobs.take_unlisted(work.connection, self._settings.reprocessing_list_seconds + 30)
        if job is None:
            return False
        config = jobs.config_of(job)
        try:
            self._check_settings(config)
            files = await self._files(job, config)
        except JobRefused as refused:
            await self._refuse(job, refused)
            return True
        await self._plan(job, config, files)
        return True

    async def publish_states(self) -> bool:
        """Publish what changed of jobs."""
        async with self._database.unit_of_work() as work:
            rows = await states.due(work.connection)
            workers = await states.workers(work.connection, [row["id"] for row in rows])
            for row in rows:
                job = dict(row)
                started = [one["started_at"] for one in workers.get(job["id"], ()) if one["started_at"]]
                if facts.is_pending(job["status"]) and started:
                    job |= {"status": "running", "started_at": min(started)}
                    await states.start(work.connection, job["id"], job["started_at"])
                values = facts.record_of(
                    job, workers.get(job["id"], []), await states.failures(work.connection, job["id"]),
                    await states.bad_lines(work.connection, job["id"]),
                )  # fmt: skip
                text = to_json(values).decode()
                version = job["version"] + (text != job["published_record"])
                if version != job["version"]:
                    facts.publish_state(work, values, version, self._clock.now())
                if version != job["version"] or row["unpublished"]:
                    await states.published(work.connection, job["id"], version, text)
        return len(rows) == 100

    async def remove_folders(self) -> None:
        """Credentials of jobs that are over go."""
        if self._folder is None:
            return
        found = await asyncio.to_thread(lambda: list(job_folder.job_folders(self._folder or Path())))
        async with self._database.connection() as connection:
            ended = await jobs.ended(connection, found)
        await asyncio.to_thread(job_folder.remove_folders, self._folder, ended)

    def _check_settings(self, config: ReprocessingConfig) -> None:
        settings = self._settings
        if self._folder is None or not settings.worker_database_url.get_secret_value():
            raise JobRefused("body", "reprocessing is not configured here: SIGNALBOX_REPROCESSING_FOLDER and "
                             "SIGNALBOX_WORKER_DATABASE_URL are needed")  # fmt: skip
        if not settings.reprocessing_kafka_bootstrap and not config.dry_run:
            raise JobRefused("dry_run", "no destination is configured (KAFKA_BOOTSTRAP_SERVERS): only true is allowed")
        if not config.connection_ids and not settings.repository_url:
            raise JobRefused("connection_ids", "needed: no repository of streams is configured (REPOSITORY_URL)")

    async def _files(self, job: Row, config: ReprocessingConfig) -> list[ListedFile]:
        if job["retry_of"] is not None:
            async with self._database.connection() as connection:
                files = await jobs.unfinished_files(connection, job["retry_of"])
            if not files:
                raise JobRefused("body", f"no file of job {job['retry_of']} failed")
            return await self._listed_again(files, config)
        return choose_files(await list_files(config, self._settings), config)

    async def _listed_again(self, files: list[ListedFile], config: ReprocessingConfig) -> list[ListedFile]:
        """Files that were written again since start from their beginning; those that are gone fail once more."""
        now = {file.path: file for file in await list_files(config, self._settings)}
        return [
            file if file.path not in now or now[file.path].version == file.version else now[file.path] for file in files
        ]

    async def _refuse(self, job: Row, refused: JobRefused) -> None:
        async with self._database.unit_of_work() as work:
            if await jobs.refuse(work.connection, job["id"], f"{refused.field}: {refused}"):
                facts.publish_answer(
                    work, job["operation_id"], job["id"], START, Outcome.REFUSED, self._clock.now(),
                    reason=str(refused), field=refused.field,
                )  # fmt: skip

    async def _plan(self, job: Row, config: ReprocessingConfig, files: list[ListedFile]) -> None:
        count = count_workers(len(files), limited=config.limit is not None)
        workers = assign([file.size for file in files], count, config.distribution)
        token = secrets.token_urlsafe(32)
        values = self._worker_config(job["id"], config, files, count, token)
        assert self._folder is not None
        user = int(self._settings.process_user) if self._settings.process_user else None
        path = await asyncio.to_thread(job_folder.write_config, self._folder, job["id"], values, user)
        async with self._database.unit_of_work() as work:
            hash = hashlib.sha256(token.encode()).digest()
            if not await jobs.plan(work.connection, job["id"], files, workers, count=count, hash=hash):
                return
            program = self._settings.worker_program
            argv = ((index, [program, str(path), str(index)]) for index in range(count))
            facts.publish_plan(work, job, argv, parallel=self._settings.k8s_max_parallel_workers)
            facts.publish_answer(
                work, job["operation_id"], job["id"], START, Outcome.DONE, self._clock.now(), total_files=len(files),
                total_workers=count,
            )  # fmt: skip

    def _worker_config(
        self, job_id: UUID, config: ReprocessingConfig, files: Sequence[ListedFile], count: int, token: str
    ) -> dict[str, Any]:
        settings = self._settings
        repository = {"url": settings.repository_url, "token": settings.repository_auth_token.get_secret_value()}
        return {
            "job_id": str(job_id), "token": token, "database_url": settings.worker_database_url.get_secret_value(),
            "schema": settings.database_schema or "reprocessor",
            "config": config.model_dump(mode="json", exclude={"files"}), "topic": settings.reprocessing_topic,
            "kafka": {"bootstrap.servers": settings.reprocessing_kafka_bootstrap, **settings.kafka_properties},
            "repository": repository if settings.repository_url else None, "s3": settings.s3_options,
            "max_line_bytes": settings.reprocessing_max_line_bytes, "batch_size": DEFAULT_BATCH_SIZE,
            "parallel_workers": min(count, settings.k8s_max_parallel_workers),
            "start_path": files[0].path if config.start_file is not None else None,
        }  # fmt: skip
