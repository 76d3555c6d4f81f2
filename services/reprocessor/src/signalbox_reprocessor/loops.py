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
from signalbox_chassis.persistence.database import Database, UnitOfWork
from signalbox_chassis.runtime.clock import Clock
from signalbox_chassis.runtime.isolation import describe_fault, note_fault
from signalbox_chassis.security.vault import InvalidSecret, Vault
from signalbox_contracts.definitions.reprocessing import DEFAULT_BATCH_SIZE, ReprocessingConfig, count_workers
from signalbox_contracts.messages.states import Outcome
from signalbox_reprocessor import facts, job_folder, pods
from signalbox_reprocessor.distribution import JobRefused, ListedFile, assign, choose_files
from signalbox_reprocessor.listing import list_files
from signalbox_reprocessor.settings import ReprocessorSettings
from signalbox_reprocessor.store import jobs, states
from signalbox_reprocessor.store.jobs import EarlierJobs

START = "reprocessing.start"
FAULT_SECONDS = 30


class Reprocessing:
    """What the loops work with."""

    def __init__(
        self, database: Database, clock: Clock, settings: ReprocessorSettings, vault: Vault | None = None
    ) -> None:
        self._database = database
        self._clock = clock
        self._settings = settings
        self._folder = Path(settings.reprocessing_folder) if settings.reprocessing_folder else None
        self._vault = vault

    async def plan_jobs(self) -> bool:
        """List the files of one job and start its workers, or refuse it. True: there was one."""
        async with self._database.unit_of_work() as work:
            job = await jobs.take_unlisted(work.connection, self._settings.reprocessing_list_seconds + 30)
        if job is None:
            return False
        try:
            config = jobs.config_of(job)
            self._check_settings(config)
            self._check_engine(job["engine_kind"], config)
            files = await self._files(job, config)
            await self._plan(job, config, files)
        except JobRefused as refused:
            await self._refuse(job, refused)
        except Exception as error:
            await self._list_later(job, error)
        return True

    async def publish_states(self) -> bool:
        """Publish what changed of jobs."""
        async with self._database.unit_of_work() as work:
            rows = await states.due(work.connection)
            workers = await states.workers(work.connection, [row["id"] for row in rows])
            for row in rows:
                try:
                    await self._publish_state(work, row, workers.get(row["id"], []))
                except ValueError as error:
                    note_fault("publish states", error)
                    await states.looked_at(work.connection, row["id"])
        return len(rows) == 100

    async def _publish_state(self, work: UnitOfWork, row: Row, workers: Sequence[Row]) -> None:
        """Publish a job's state if it changed. Raises ValueError when what its workers wrote makes no state."""
        job = dict(row)
        started = [one["started_at"] for one in workers if one["started_at"]]
        if facts.is_pending(job["status"]) and started:
            job |= {"status": "running", "started_at": min(started)}
            await states.start(work.connection, job["id"], job["started_at"])
        values = facts.record_of(
            job, workers, await states.failures(work.connection, job["id"]),
            await states.bad_lines(work.connection, job["id"]),
        )  # fmt: skip
        text = to_json(values).decode()
        version = job["version"] + (text != job["published_record"])
        if version == job["version"]:
            await states.looked_at(work.connection, job["id"])
            return
        facts.publish_state(work, values, version, self._clock.now())
        await states.published(work.connection, job["id"], version, text)

    async def remove_folders(self) -> None:
        """Credentials of jobs that are over go."""
        await self._remove_secrets()
        if self._folder is None:
            return
        found = await asyncio.to_thread(lambda: list(job_folder.job_folders(self._folder or Path())))
        async with self._database.connection() as connection:
            ended = await jobs.ended(connection, found)
        await asyncio.to_thread(job_folder.remove_folders, self._folder, ended)

    async def _remove_secrets(self) -> None:
        if self._vault is None:
            return
        kept = {info.name: pods.job_of(info.name) for info in await self._vault.listed()}
        async with self._database.connection() as connection:
            ended = await jobs.ended(connection, [id for id in kept.values() if id is not None])
        for name, id in kept.items():
            if id in ended:
                await self._vault.delete(name, actor="service:reprocessor")

    def _check_settings(self, config: ReprocessingConfig) -> None:
        settings = self._settings
        if not settings.worker_database_url.get_secret_value():
            raise JobRefused("body", "reprocessing is not configured here: SIGNALBOX_WORKER_DATABASE_URL is needed")
        if not settings.reprocessing_kafka_bootstrap and not config.dry_run:
            raise JobRefused("dry_run", "no destination is configured (KAFKA_BOOTSTRAP_SERVERS): only true is allowed")
        if not config.connection_ids and not settings.repository_url:
            raise JobRefused("connection_ids", "needed: no repository of streams is configured (REPOSITORY_URL)")

    def _check_engine(self, kind: str, config: ReprocessingConfig) -> None:
        if kind == "process" and self._folder is None:
            raise JobRefused("engine", "no workers run as processes here: SIGNALBOX_REPROCESSING_FOLDER is needed")
        if kind == "kubernetes" and self._vault is None:
            raise JobRefused("engine", "no workers run as pods here: SIGNALBOX_SECRET_KEY and SIGNALBOX_SECRETS_URL "
                             "are needed")  # fmt: skip
        if kind == "kubernetes" and config.local_path and not self._settings.pod_template:
            raise JobRefused("local_path", "pods see no folder of this host: only s3_path is allowed, unless "
                             "SIGNALBOX_REPROCESSING_POD_TEMPLATE mounts the folder")  # fmt: skip

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

    async def _list_later(self, job: Row, error: Exception) -> None:
        """A fault that nobody foresaw: the job shows it, the other jobs go on, and it is tried again."""
        note_fault("plan jobs", error)
        reason = f"not listed yet, tried again every {FAULT_SECONDS} s: {describe_fault(error)}"
        async with self._database.unit_of_work() as work:
            await jobs.list_later(work.connection, job["id"], reason, seconds=FAULT_SECONDS)

    async def _plan(self, job: Row, config: ReprocessingConfig, files: list[ListedFile]) -> None:
        count = count_workers(len(files), limited=config.limit is not None)
        workers = assign([file.size for file in files], count, config.distribution)
        token = secrets.token_urlsafe(32)
        earlier = EarlierJobs()
        if job["retry_of"] is not None:
            async with self._database.connection() as connection:
                earlier = await jobs.earlier(connection, job["retry_of"])
        values = self._worker_config(job["id"], config, files, count, token, earlier)
        indexed = job["engine_kind"] == "kubernetes"
        path = await (self._keep_secrets if indexed else self._write_config)(job["id"], values)
        async with self._database.unit_of_work() as work:
            hash = hashlib.sha256(token.encode()).digest()
            if not await jobs.plan(work.connection, job["id"], files, workers, count=count, hash=hash):
                return
            if indexed:
                facts.publish_indexed_plan(work, job, pods.indexed_job(job["id"], self._settings, files, count))
            else:
                program = self._settings.worker_program
                argv = ((index, [program, path, str(index)]) for index in range(count))
                facts.publish_plan(work, job, argv, parallel=self._settings.k8s_max_parallel_workers)
            facts.publish_answer(
                work, job["operation_id"], job["id"], START, Outcome.DONE, self._clock.now(), total_files=len(files),
                total_workers=count,
            )  # fmt: skip

    async def _write_config(self, job_id: UUID, values: dict[str, Any]) -> str:
        """The file for workers on this host."""
        assert self._folder is not None
        user = int(self._settings.process_user) if self._settings.process_user else None
        return str(await asyncio.to_thread(job_folder.write_config, self._folder, job_id, values, user))

    async def _keep_secrets(self, job_id: UUID, values: dict[str, Any]) -> str:
        """In the vault, from which the executor takes them when it makes the pods' Secret. Raises `JobRefused`."""
        assert self._vault is not None
        try:
            for name, value in pods.secret_values(job_id, self._settings, values).items():
                await self._vault.set(name, value, {"work"}, "of a reprocessing job", "service:reprocessor")
        except InvalidSecret as error:
            raise JobRefused("body", f"what its workers need does not fit into a secret: {error}") from None
        return f"{pods.FOLDER}/{pods.CONFIG_FILE}"

    def _worker_config(
        self, job_id: UUID, config: ReprocessingConfig, files: Sequence[ListedFile], count: int, token: str,
        earlier: EarlierJobs,
    ) -> dict[str, Any]:  # fmt: skip
        settings = self._settings
        given = config.model_dump(mode="json", exclude={"files"})
        if config.limit is not None:  # the worker takes off what its own ledger begins with
            sent_elsewhere = earlier.sent - sum(file.sent for file in files)
            given["limit"] = max(0, config.limit - sent_elsewhere)
        repository = {"url": settings.repository_url, "token": settings.repository_auth_token.get_secret_value()}
        return {
            "job_id": str(job_id), "token": token, "database_url": settings.worker_database_url.get_secret_value(),
            "schema": settings.database_schema or "reprocessor",
            "config": given, "topic": settings.reprocessing_topic,
            "kafka": {"bootstrap.servers": settings.reprocessing_kafka_bootstrap, **settings.kafka_properties},
            "repository": repository if settings.repository_url else None, "s3": settings.s3_options,
            "max_line_bytes": settings.reprocessing_max_line_bytes, "batch_size": DEFAULT_BATCH_SIZE,
            "parallel_workers": min(count, settings.k8s_max_parallel_workers),
            "start_path": (earlier.start_path or files[0].path) if config.start_file is not None else None,
        }  # fmt: skip
