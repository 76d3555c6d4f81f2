"""The Oozie engine behind the port."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager

from pydantic import JsonValue

from signalbox_contracts.definitions.selection import LookUp
from signalbox_contracts.definitions.work import OozieWork
from signalbox_contracts.messages.operations import OozieControlData, OozieShowData
from signalbox_executor.engines.capabilities import SelectionPage
from signalbox_executor.engines.oozie.answers import ModeAnswer, VersionAnswer
from signalbox_executor.engines.oozie.control import Controller
from signalbox_executor.engines.oozie.handles import OozieId, parse_handle
from signalbox_executor.engines.oozie.job_control import JobControl
from signalbox_executor.engines.oozie.key_locks import KeyLocks
from signalbox_executor.engines.oozie.logs import LogReader
from signalbox_executor.engines.oozie.notifications import Notifications
from signalbox_executor.engines.oozie.observation import Observer
from signalbox_executor.engines.oozie.outputs import Outputs
from signalbox_executor.engines.oozie.rerun import QUIET_SECONDS, Rerunner
from signalbox_executor.engines.oozie.rest import OozieRefused, OozieRest
from signalbox_executor.engines.oozie.selections import Resolver
from signalbox_executor.engines.oozie.server import OozieServer
from signalbox_executor.engines.oozie.storage import Storage
from signalbox_executor.engines.oozie.submission import Submitter, check_work
from signalbox_executor.engines.port import (
    ENDS,
    EngineRefused,
    EngineUnavailable,
    Handle,
    Identity,
    LogPage,
    Observation,
    Phase,
    Submission,
    Watched,
    bounded,
)


class OozieEngine:
    """One Oozie server."""

    def __init__(
        self,
        rest: OozieRest,
        storage: Storage,
        *,
        notifications: Notifications | None = None,
        quiet_seconds: float = QUIET_SECONDS,
    ) -> None:
        self.rest = rest
        notifications = notifications or Notifications(rest.name, None, ())
        self.server = OozieServer(rest)
        self._stopped: set[str] = set()
        self._one_at_a_time = KeyLocks()
        self._submitter = Submitter(self.server, notifications)
        self._rerunner = Rerunner(self.server, notifications, quiet_seconds=quiet_seconds)
        self._observer = Observer(self.server, self._stopped)
        self._controller = Controller(self.server)
        self._logs = LogReader(self.server)
        self._jobs = JobControl(self.server, self._controller, self._logs)
        self._resolver = Resolver(self.server, Outputs(rest, storage))

    @property
    def identity(self) -> Identity:
        return Identity.REMEMBERS_KEYS

    @property
    def controller(self) -> Controller:
        """What an operator may do to any job of the server."""
        return self._controller

    async def submit(self, submission: Submission) -> Handle:
        work = submission.work
        if not isinstance(work, OozieWork):
            reason = f"{work.kind!r} is not allowed: only 'oozie' runs here"
            raise EngineRefused(self.rest.name, reason, field="work.kind", value=work.kind)
        check_work(self.rest.name, work)
        async with self._errors():
            if work.mode == "rerun":
                return await self._rerunner.submit(submission, work)
            async with self._one_at_a_time(submission.run_key):
                return await self._submitter.submit(submission, work)

    async def observe(self, watched: Sequence[Watched]) -> Mapping[str, Observation]:
        async with self._errors():
            return await self._observer.observe(watched)

    async def cancel(self, watched: Watched) -> None:
        """Kill the run of this key and no other; a key that Oozie does not know is left alone."""
        self._stopped.add(watched.run_key)
        async with self._errors():
            handle = watched.handle or await self.server.workflow_of_key(watched.run_key)
            if handle is None:
                return
            if watched.handle is None:
                job = (await self.server.workflows([handle])).get(handle)
                handle = f"{handle}#{job.run}" if job is not None and job.run else handle
            await self._controller.kill(handle)

    async def suspend(self, watched: Watched) -> None:
        """Hold the run; `EngineRefused` for one that Oozie does not run under this key."""
        async with self._errors():
            await self._controller.suspend(await self._running(watched))

    async def resume(self, watched: Watched) -> None:
        async with self._errors():
            await self._controller.resume(await self._running(watched))

    async def test_connection(self) -> Mapping[str, JsonValue]:
        """The server's version and mode, and whether it accepts our user."""
        async with self._errors():
            version = await self.rest.read(VersionAnswer, "v2/admin/build-version")
            mode = await self.rest.read(ModeAnswer, "v2/admin/status")
            await self.server.list_page("wf", None, offset=1, length=1)
        return {"version": version.build_version, "mode": mode.system_mode, "user": self.rest.user}

    async def logs(self, watched: Watched, *, offset: int = 0, limit: int = 65_536) -> LogPage:
        async with self._errors():
            handle = watched.handle or await self.server.workflow_of_key(watched.run_key)
            return await self._logs.page(handle, offset, limit)

    async def resolve_selection(self, selection: LookUp, page: str | None = None) -> SelectionPage:
        """One page of what a selection names, at most 200 items."""
        async with self._errors():
            return await self._resolver.resolve(selection, page)

    async def control_job(self, request: OozieControlData) -> Mapping[str, JsonValue]:
        """Carry out what an operator asks of any job of the server."""
        async with self._errors():
            return await self._jobs.control(request)

    async def show_job(self, request: OozieShowData) -> Mapping[str, JsonValue]:
        """One of the texts that Oozie has of a job."""
        async with self._errors():
            return await self._jobs.show(request)

    async def close(self) -> None:
        await self.rest.close()

    async def _running(self, watched: Watched) -> OozieId:
        seen = (await self._observer.observe([watched])).get(watched.run_key)
        if seen is None:
            raise EngineUnavailable(self.rest.name, "its state of the run is not known", may_have_arrived=False)
        if seen.handle is None or seen.phase in ENDS or seen.phase is Phase.LOST:
            raise EngineRefused(
                self.rest.name, f"the run is {seen.phase.value}", field="run_key", value=watched.run_key
            )
        return parse_handle(seen.handle).id

    @asynccontextmanager
    async def _errors(self) -> AsyncGenerator[None]:
        """A refused read is an answer that cannot be believed: nothing was changed by it."""
        try:
            yield
        except OozieRefused as error:
            raise EngineUnavailable(self.rest.name, bounded(str(error)), may_have_arrived=False) from error
