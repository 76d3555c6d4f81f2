"""What is read of an Oozie server, as values: single jobs, lists by filter, coordinator actions."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar, cast

from signalbox_executor.engines.oozie.answers import (
    BundleAnswer,
    CoordinatorActionAnswer,
    CoordinatorAnswer,
    IdAnswer,
    ListAnswer,
    RunsAnswer,
    StatusAnswer,
    WorkflowAnswer,
    entries,
)
from signalbox_executor.engines.oozie.rest import OozieRefused, OozieRest
from signalbox_executor.engines.port import is_link

IDS_PER_CALL: Final = 500
"""Ids of one list call. Oozie's header limit of 64 KiB bounds the URL, and some databases an IN list at 1,000."""
PAGE: Final = 1000
MAX_NODES: Final = 5000
READS_AT_ONCE: Final = 8
_Job = TypeVar("_Job", WorkflowAnswer, CoordinatorAnswer, BundleAnswer)


@dataclass(frozen=True, slots=True)
class Found(Generic[_Job]):
    """Jobs by id. What is in neither is not known to Oozie."""

    jobs: dict[str, _Job]
    unread: set[str]
    """Oozie has these, or may have them: their entry cannot be read."""


class OozieServer:
    """Reads of one server, on top of its REST client."""

    def __init__(self, rest: OozieRest) -> None:
        self.rest = rest
        self._reads = asyncio.Semaphore(READS_AT_ONCE)

    def page_of(self, handle: str) -> str | None:
        """The page of a job in Oozie's own console; None where its address would be no link."""
        job = handle.partition("#")[0].partition("@")[0]
        link = str(self.rest.url.with_user(None).with_query({"job": job}))
        return link if is_link(link) else None

    async def workflow(self, id: str) -> WorkflowAnswer | None:
        """One workflow with all of its actions; None if Oozie does not know it."""
        try:
            async with self._reads:
                found = await self.rest.read(WorkflowAnswer, f"v2/job/{id}", show="info", offset=1, len=PAGE)
                nodes = list(found.actions)
                while len(found.actions) == PAGE and len(nodes) < MAX_NODES:
                    found = await self.rest.read(
                        WorkflowAnswer, f"v2/job/{id}", show="info", offset=len(nodes) + 1, len=PAGE
                    )
                    nodes += found.actions
        except OozieRefused as refused:
            return _none_if_unknown(refused)
        return found.model_copy(update={"actions": tuple(nodes)})

    async def workflow_of_key(self, key: str) -> str | None:
        """A workflow with this external id. Of several it is any: which one depends on the database."""
        async with self._reads:
            found = await self.rest.read(IdAnswer, "v2/jobs", jobtype="wf", external_id=key)
        return found.id or None

    async def workflows(self, ids: Sequence[str]) -> dict[str, WorkflowAnswer]:
        """These workflows, without actions and configuration, in one call for every 500."""
        return (await self.find_workflows(ids)).jobs

    async def find_workflows(self, ids: Sequence[str]) -> Found[WorkflowAnswer]:
        """These workflows, and which of them cannot be read."""
        return await self._find("wf", WorkflowAnswer, "id", lambda answer: answer.workflows, ids)

    async def find_coordinators(self, ids: Sequence[str]) -> Found[CoordinatorAnswer]:
        """These coordinators, without actions, and which of them cannot be read."""
        return await self._find("coordinator", CoordinatorAnswer, "coordJobId", lambda answer: answer.coordinators, ids)

    async def find_bundles(self, ids: Sequence[str]) -> Found[BundleAnswer]:
        """These bundles, without coordinators, and which of them cannot be read."""
        return await self._find("bundle", BundleAnswer, "bundleJobId", lambda answer: answer.bundles, ids)

    async def _find(
        self,
        jobtype: str,
        kind: type[_Job],
        id_field: str,
        listed: Callable[[ListAnswer], list[Any]],
        ids: Sequence[str],
    ) -> Found[_Job]:
        found: Found[_Job] = Found({}, set())
        unique = list(dict.fromkeys(ids))
        for start in range(0, len(unique), IDS_PER_CALL):
            part = unique[start : start + IDS_PER_CALL]
            raw = listed(await self._list(jobtype, {"id": part}, length=len(part)))
            jobs = {job.id: job for job in entries(kind, raw)}
            found.jobs.update(jobs)
            if len(jobs) < len(raw):
                missing = set(part) - jobs.keys()
                given = [cast("dict[str, Any]", entry).get(id_field) for entry in raw if isinstance(entry, dict)]
                named = {id for id in given if isinstance(id, str)}
                # an entry that does not even say which job it is may be any of those that are missing
                found.unread.update(missing & named if len(named) == len(raw) else missing)
        return found

    async def list_pages(
        self, jobtype: str, filters: Mapping[str, str | Sequence[str]], *, page: int = PAGE
    ) -> AsyncGenerator[ListAnswer]:
        """A list by filter, newest created first, page by page."""
        offset, total = 1, 1
        while offset <= total:
            answer = await self._list(jobtype, filters, offset=offset, length=page)
            yield answer
            found = len(answer.workflows) + len(answer.coordinators) + len(answer.bundles)
            if not found:
                return
            offset, total = offset + found, answer.total

    async def list_page(self, jobtype: str, filter: str | None, *, offset: int, length: int) -> ListAnswer:
        """One page of a list by a filter as Oozie writes it."""
        async with self._reads:
            return await self.rest.read(
                ListAnswer, "v2/jobs", jobtype=jobtype, filter=filter, offset=offset, len=length
            )

    async def coordinator(
        self, id: str, *, offset: int = 1, length: int = 0, filter: str | None = None, order: str | None = None
    ) -> CoordinatorAnswer | None:
        """A coordinator with so many of its actions. Without a length Oozie v2 sends none of them."""
        try:
            async with self._reads:
                return await self.rest.read(
                    CoordinatorAnswer,
                    f"v2/job/{id}",
                    show="info",
                    offset=offset,
                    len=length,
                    filter=filter,
                    order=order,
                )
        except OozieRefused as refused:
            return _none_if_unknown(refused)

    async def coordinator_action(self, id: str) -> CoordinatorActionAnswer | None:
        """One action, named as `coordinator@number`."""
        try:
            async with self._reads:
                return await self.rest.read(CoordinatorActionAnswer, f"v2/job/{id}", show="info")
        except OozieRefused as refused:
            return _none_if_unknown(refused)

    async def workflows_of_action(self, id: str) -> list[str]:
        """The workflows a coordinator action ever had, oldest first."""
        try:
            async with self._reads:
                runs = await self.rest.read(RunsAnswer, f"v2/job/{id}", show="allruns")
        except OozieRefused as refused:
            _none_if_unknown(refused)
            return []
        return [run.id for run in runs.workflows if run.id]

    async def bundle(self, id: str) -> BundleAnswer | None:
        """A bundle with its coordinators."""
        try:
            async with self._reads:
                return await self.rest.read(BundleAnswer, f"v2/job/{id}", show="info")
        except OozieRefused as refused:
            return _none_if_unknown(refused)

    async def status(self, id: str) -> str | None:
        """The cheapest read there is."""
        try:
            return (await self.rest.read(StatusAnswer, f"v2/job/{id}", show="status")).status
        except OozieRefused as refused:
            return _none_if_unknown(refused)

    async def _list(
        self, jobtype: str, filters: Mapping[str, str | Sequence[str]], *, offset: int = 1, length: int
    ) -> ListAnswer:
        return await self.list_page(jobtype, as_filter(filters), offset=offset, length=length)


def as_filter(filters: Mapping[str, str | Sequence[str]]) -> str | None:
    """Oozie's filter: different keys AND, a repeated key OR. Raises ValueError for what no filter can say (E0420)."""
    parts: list[str] = []
    for key, value in filters.items():
        for text in (value,) if isinstance(value, str) else value:
            if not text or "=" in text or ";" in text:
                raise ValueError(f"{key} {text!r} cannot be filtered by: Oozie allows neither `=` nor `;` in a filter")
            parts.append(f"{key}={text}")
    return ";".join(parts) or None


def _none_if_unknown(refused: OozieRefused) -> Any:
    if refused.unknown:
        return None
    raise refused
