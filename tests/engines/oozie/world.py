"""What Oozie jobs of tests read and write, and how they are made to fail, succeed or hang."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import UUID, uuid4

import aiohttp

from engines.oozie.assembly import SERVER_FILES
from engines.oozie.oozie_process import Hands
from signalbox_contracts.definitions.selection import LookUp, OozieActions, RoutedActions
from signalbox_contracts.definitions.work import OozieWork
from signalbox_contracts.ids import run_key
from signalbox_contracts.messages.tasks import ResolvedItem
from signalbox_executor.engines.oozie.adapter import OozieEngine
from signalbox_executor.engines.oozie.rest import OozieRest
from signalbox_executor.engines.oozie.storage import Storage
from signalbox_executor.engines.port import Submission, Watched

_T = TypeVar("_T")
FIXTURES: Final = (SERVER_FILES / "fixtures").as_uri()


@dataclass
class World:
    """A folder of one test on the server's file system."""

    hands: Hands
    folder: Path
    fixtures: str = FIXTURES

    @staticmethod
    def engine_of(url: str, *, quiet_seconds: float = 0.5, timeout_seconds: float = 60) -> OozieEngine:
        timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        rest = OozieRest("oozie", url, session=lambda: aiohttp.ClientSession(timeout=timeout), user="alice")
        storage = Storage(session=aiohttp.ClientSession, local_files=True)
        return OozieEngine(rest, storage, quiet_seconds=quiet_seconds)

    def path(self, name: str) -> str:
        return (self.folder / name).as_uri()

    def touch(self, name: str) -> None:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()

    def properties(self, application: str, name: str = "a") -> dict[str, str]:
        """What the application's XML names; `name` keeps the files of several jobs apart."""
        return {
            "runKey": name,
            "out": self.path(f"{name}/out"),
            "source": self.path(f"{name}/source"),
            "target": self.path(f"{name}/target"),
            "gate": self.path(f"{name}/gate"),
            "hold": str(self.folder / f"{name}.hold"),
            "childPath": f"{FIXTURES}/wf-gate",
            "gates": self.path("gates"),
            "outs": self.path("outs"),
            "raws": self.path("raws"),
            "root": self.path("bundle"),
            "wfPath": f"{FIXTURES}/wf-gate",
            "coordPath": f"{FIXTURES}/coord-gate",
            "start": "2026-01-01T00:00Z",
            "end": "2026-01-04T00:00Z",
            "concurrency": "4",
        }

    async def workflow(self, application: str, name: str = "a", **properties: str) -> str:
        """A workflow somebody else started; its id."""
        wanted = {**self.properties(application, name), "oozie.wf.application.path": f"{FIXTURES}/{application}"}
        answer = await self.hands.call("POST", "/v2/jobs", {**wanted, **properties}, action="start")
        return answer["id"]

    async def failed_workflow(self, application: str = "wf-move", name: str = "a") -> str:
        id = await self.workflow(application, name)
        await self.hands.until(id, {"KILLED"})
        return id

    async def coordinator(self, application: str = "coord-gate", days: int = 3, **properties: str) -> str:
        """A coordinator over the first days of January 2026, started by somebody else; its id."""
        wanted = {**self.properties(application), "end": f"2026-01-{days + 1:02d}T00:00Z"}
        wanted["oozie.coord.application.path"] = f"{FIXTURES}/{application}"
        return (await self.hands.call("POST", "/v2/jobs", {**wanted, **properties}))["id"]

    async def action(self, id: str, *states: str) -> Any:
        """An action of a coordinator, once it is there and in one of these states."""
        answer = await until(
            lambda: self.hands.try_call("GET", f"/v2/job/{id}"),
            lambda answer: answer[0] == 200 and (not states or answer[2]["status"] in states),
        )
        return answer[2]

    def open_gate(self, day: int) -> None:
        """The coordinator's action of this day succeeds from now on."""
        self.touch(f"gates/2026-01-{day:02d}")

    def submit(self, application: str, name: str = "a", *, attempt: int = 1, task: UUID | None = None) -> Submission:
        """A new workflow as our task."""
        work = OozieWork(application_path=f"{FIXTURES}/{application}", properties=self.properties(application, name))
        return new_submission(work, attempt=attempt, task=task)


async def until(look: Callable[[], Awaitable[_T]], good: Callable[[_T], bool], timeout_seconds: float = 90) -> _T:
    """Look again and again until it is good; fails with what was seen last."""
    deadline = time.monotonic() + timeout_seconds
    while not good(seen := await look()):
        assert time.monotonic() < deadline, f"not within {timeout_seconds:g} s; seen last: {seen}"
        await asyncio.sleep(0.1)
    return seen


async def find(engine: OozieEngine, selection: LookUp | OozieActions) -> dict[str, ResolvedItem]:
    """Every item of a selection by key, through all of its pages."""
    if isinstance(selection, OozieActions):
        selection = RoutedActions.model_validate(selection.model_dump())
    items: dict[str, ResolvedItem] = {}
    page = None
    while True:
        answer = await engine.resolve_selection(selection, page)
        items |= {item.key: item for item in answer.items}
        page = answer.next_page
        if page is None:
            return items


def rerun(target: str, *, attempt: int = 1, task: UUID | None = None, resent: bool = False, **work: Any) -> Submission:
    """The rerun of something that exists, as our task."""
    kind = "workflow" if target.endswith("-W") else "coordinator"
    return new_submission(
        OozieWork.model_validate({"mode": "rerun", "object": kind, "target": target, **work}),
        attempt=attempt, task=task, resent=resent,
    )  # fmt: skip


def new_submission(work: OozieWork, *, attempt: int = 1, task: UUID | None = None, resent: bool = False) -> Submission:
    task = task or uuid4()
    return Submission(run_key=run_key(task, attempt), task_id=task, attempt=attempt, work=work, resent=resent)


def watched(of: Submission, handle: str | None = None) -> Watched:
    return Watched(of.run_key, of.attempt, handle)
