"""What is read of an Oozie server, as values: single jobs, lists by filter, coordinator actions."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Final

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
        found: dict[str, WorkflowAnswer] = {}
        unique = list(dict.fromkeys(ids))
        for start in range(0, len(unique), IDS_PER_CALL):
            part = unique[start : start + IDS_PER_CALL]
            answer = await self._list("wf", {"id": part}, length=len(part))
            found |= {job.id: job for job in entries(WorkflowAnswer, answer.workflows)}
        return found

    async def coordinators(self, ids: Sequence[str]) -> dict[str, CoordinatorAnswer]:
        """These coordinators, without actions."""
        found: dict[str, CoordinatorAnswer] = {}
        for start in range(0, len(ids), IDS_PER_CALL):
            part = ids[start : start + IDS_PER_CALL]
            answer = await self._list("coordinator", {"id": part}, length=len(part))
            found |= {job.id: job for job in entries(CoordinatorAnswer, answer.coordinators)}
        return found

    async def bundles(self, ids: Sequence[str]) -> dict[str, BundleAnswer]:
        """These bundles, without coordinators."""
        answer = await self._list("bundle", {"id": ids}, length=len(ids))
        return {job.id: job for job in entries(BundleAnswer, answer.bundles)}

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
