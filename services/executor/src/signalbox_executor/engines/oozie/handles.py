"""Handles of the Oozie engine: Oozie's own id, and `#run` behind it for a rerun of a workflow. Pure."""

import re
from dataclasses import dataclass
from typing import Final, Literal

from signalbox_executor.engines.port import Handle

JobType = Literal["workflow", "coordinator", "bundle"]
_ID: Final = re.compile(r"(?P<job>\d{1,12}-\d{1,20}-[^@#\s/?&;=]{1,200}-(?P<type>[WCB]))(?:@(?P<action>[^#\s/?&;=]+))?")
_TYPES: Final[dict[str, JobType]] = {"W": "workflow", "C": "coordinator", "B": "bundle"}


@dataclass(frozen=True, slots=True)
class OozieId:
    """An id as Oozie writes it: `0000012-261128133000889-oozie-W`, or `…-C@7` for a coordinator's action."""

    job: str
    type: JobType
    action: str | None = None

    @property
    def number(self) -> int | None:
        """The number of a coordinator's action."""
        action = self.action
        return (
            int(action) if action is not None and action.isascii() and action.isdigit() and len(action) < 10 else None
        )

    def __str__(self) -> str:
        return f"{self.job}@{self.action}" if self.action else self.job


@dataclass(frozen=True, slots=True)
class Run:
    """One run of an Oozie job: a workflow keeps its id when it is rerun and counts its runs from 0."""

    id: OozieId
    number: int = 0

    @property
    def handle(self) -> Handle:
        return f"{self.id}#{self.number}" if self.number else str(self.id)


def parse_id(text: str) -> OozieId:
    """Raises ValueError for what is no Oozie id."""
    found = _ID.fullmatch(text)
    if not found:
        raise ValueError(f"{text[:100]!r} is no Oozie id: one ends in -W, -C or -B, or in -C@ and an action's number")
    return OozieId(found["job"], _TYPES[found["type"]], found["action"])


def parse_handle(handle: Handle) -> Run:
    """Raises ValueError for what is no handle of this engine."""
    id, _, number = handle.partition("#")
    if number and not (number.isascii() and number.isdigit() and len(number) < 10):
        raise ValueError(f"{handle[:100]!r} is no handle of the Oozie engine")
    return Run(parse_id(id), int(number or 0))
