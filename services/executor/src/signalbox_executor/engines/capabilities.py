"""What only some engines can do: each capability is declared by the engine's kind, and the executor asks for no other.

A capability with methods is a protocol here: `isinstance(engine, Seals)`. The rest say what an observation holds. The
conformance suite checks that an engine has exactly the protocols its kind declares.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol, runtime_checkable

from pydantic import JsonValue

from signalbox_contracts.definitions.selection import LookUp
from signalbox_contracts.messages.operations import OozieControlData, OozieShowData
from signalbox_contracts.messages.tasks import ResolvedItem, StepProgress, WorkerProgress
from signalbox_executor.engines.port import Handle, LogPage, Submission, Watched

__all__ = [
    "PROTOCOLS",
    "Annotates",
    "Capability",
    "ChecksConnection",
    "ControlsJobs",
    "ExplainsWaiting",
    "FetchesLogs",
    "NotifiesEnds",
    "PausesDags",
    "PinsArtifacts",
    "Progress",
    "RemembersSecrets",
    "ReportsProgress",
    "Reruns",
    "ResolvesSelections",
    "Savepoint",
    "Seals",
    "SelectionPage",
    "Suspends",
    "TakesSavepoints",
]


class Capability(Enum):
    """What a kind of engine can do beside submit, observe and cancel."""

    EXIT_CODES = "exit codes"
    """An ended run has the exit code of its program."""
    RESULTS = "results"
    """A run can leave JSON as its result."""
    REPORTS_KILLED = "reports killed"
    """A run that was cancelled is seen as `Phase.KILLED`; elsewhere it looks failed."""
    LINKS = "links"
    """Every observation of a known run has `handle_url`, the engine's own page of it."""
    REFUSES_WORK = "refuses work"
    """Wrong work is refused at submit, with the field that is wrong."""
    LOGS = "logs"
    SEALS = "seals"
    REMEMBERS_SECRETS = "remembers secrets"
    SUSPENDS = "suspends"
    SAVEPOINTS = "savepoints"
    ARTIFACTS = "artifacts"
    RERUNS = "reruns"
    SELECTIONS = "selections"
    PROGRESS = "progress"
    CONNECTION_TEST = "connection test"
    WAITING = "waiting"
    NOTES = "notes"
    DAGS = "DAGs"
    JOB_CONTROL = "job control"
    END_NOTICES = "end notices"


@runtime_checkable
class Seals(Protocol):
    """Can make a key unusable for copies of its submit that are still on their way."""

    async def seal(self, watched: Watched) -> Handle | None:
        """None: no run of this key exists, nor ever will. Otherwise the handle of the run that exists: adopt it.

        Atomic against a concurrent submit, and repeatable.
        """
        ...


@runtime_checkable
class NotifiesEnds(Protocol):
    """Can say at once that a run is over, so that nobody has to poll for it."""

    def on_end(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with the run key of each run that ends; it replaces the listener before.

        A notice is a hint: it may be missing, and it may come for a run that is not over. `observe` tells the truth.
        """
        ...


@runtime_checkable
class FetchesLogs(Protocol):
    """Can show what a run writes, while it runs and after."""

    async def logs(self, watched: Watched, *, offset: int = 0, limit: int = 65_536) -> LogPage:
        """At most `limit` bytes from `offset` on. No data: nothing more yet, or nothing known of this run."""
        ...


@runtime_checkable
class RemembersSecrets(Protocol):
    """Knows which secret values it gave to a run: what they were then, whatever they are now."""

    async def secrets(self, watched: Watched) -> frozenset[str]:
        """None for a run it does not know."""
        ...


@runtime_checkable
class Suspends(Protocol):
    """Can hold a run and let it go on. Both are bound to the run key and repeatable; `observe` shows the effect."""

    async def suspend(self, watched: Watched) -> None:
        """Ask the engine to hold the run: `Phase.SUSPENDED` once it does. Raises `EngineRefused` for an ended run."""
        ...

    async def resume(self, watched: Watched) -> None:
        """Ask the engine to go on with a suspended run; one that runs is left alone."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Savepoint:
    """A savepoint that was asked for. Neither path nor failure: it is under way."""

    path: str | None = None
    failure: str = ""


@runtime_checkable
class TakesSavepoints(Protocol):
    """Can write the state of a run down, and start another run from it."""

    async def take_savepoint(self, watched: Watched, request: str, *, stop: bool = False) -> None:
        """Begin a savepoint. `request` names it: the same request twice is one savepoint. `stop` ends the run with it.

        Raises `EngineRefused` for a run that cannot take one.
        """
        ...

    async def savepoint(self, watched: Watched, request: str) -> Savepoint | None:
        """How far it is; None for a request the engine does not know."""
        ...


@runtime_checkable
class PinsArtifacts(Protocol):
    """Runs files that it fetches from a URL, each pinned by its checksum for the definition that names it."""

    async def pin_artifact(self, scope: str, url: str | None) -> Mapping[str, JsonValue]:
        """Fetch the file and pin what the URL gives now; None means the operator's default. Details for a person.

        Raises `EngineRefused` for a file that cannot be used.
        """
        ...


@runtime_checkable
class Reruns(Protocol):
    """Can run again in place what has ended there, under the key of a new attempt."""

    async def rerun(self, ended: Watched, submission: Submission) -> Handle:
        """Run the ended run again as this submission: same key, same run, as with `submit`."""
        ...


@dataclass(frozen=True, slots=True)
class SelectionPage:
    """Some of what a selection found. `next_page` is None on the last page."""

    items: tuple[ResolvedItem, ...]
    next_page: str | None = None


@runtime_checkable
class ResolvesSelections(Protocol):
    """Can look up what a selection names before a plan is expanded."""

    async def resolve_selection(self, selection: LookUp, page: str | None = None) -> SelectionPage:
        """One page, at most 200 items; `page` is the `next_page` of the one before. Changes nothing on the engine.

        Raises `EngineRefused` with the field for a selection this engine can never resolve.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run is, in the contracts' own values."""

    fraction: float | None = None
    """Between 0 and 1; None where the engine does not know."""
    message: str = ""
    workers: tuple[WorkerProgress, ...] = ()
    steps: tuple[StepProgress, ...] = ()


@runtime_checkable
class ReportsProgress(Protocol):
    """Can say how far runs are."""

    async def progress(self, watched: Sequence[Watched]) -> Mapping[str, Progress]:
        """By run key; a run the engine says nothing of is left out."""
        ...


@runtime_checkable
class ChecksConnection(Protocol):
    """Has a better test of its connection than asking about a run that does not exist."""

    async def test_connection(self) -> Mapping[str, JsonValue]:
        """Details for a person, such as the server's version. Changes nothing on the engine.

        Raises `EngineUnavailable`, or `EngineRefused` where it answers and does not let us in.
        """
        ...


@runtime_checkable
class ExplainsWaiting(Protocol):
    """Can say why runs it accepted do not begin."""

    async def explain_waiting(self, watched: Sequence[Watched]) -> Mapping[str, str]:
        """A sentence by run key, at most 2,000 characters; runs that do not wait are left out."""
        ...


@runtime_checkable
class Annotates(Protocol):
    """Keeps a note of each run that can be changed."""

    async def annotate(self, watched: Watched, note: str) -> None:
        """Replace what people wrote in the note. Repeatable. Raises `EngineRefused` for a run it does not know."""
        ...


@runtime_checkable
class PausesDags(Protocol):
    """Can hold every run of one of its own definitions."""

    async def pause_dag(self, dag_id: str, *, paused: bool) -> None:
        """Pause a DAG, or let it go on. Repeatable. Raises `EngineRefused` for a DAG it does not know."""
        ...


@runtime_checkable
class ControlsJobs(Protocol):
    """Can control and show any job of an Oozie server, whoever started it. Details for a person."""

    async def control_job(self, request: OozieControlData) -> Mapping[str, JsonValue]:
        """Carry it out and read it back. Raises `EngineRefused` for what cannot be done to the job as it is."""
        ...

    async def show_job(self, request: OozieShowData) -> Mapping[str, JsonValue]:
        """One of the texts of a job. Raises `EngineRefused` for a job it does not know."""
        ...


PROTOCOLS: Final[Mapping[Capability, type]] = {
    Capability.LOGS: FetchesLogs,
    Capability.SEALS: Seals,
    Capability.REMEMBERS_SECRETS: RemembersSecrets,
    Capability.SUSPENDS: Suspends,
    Capability.SAVEPOINTS: TakesSavepoints,
    Capability.ARTIFACTS: PinsArtifacts,
    Capability.RERUNS: Reruns,
    Capability.SELECTIONS: ResolvesSelections,
    Capability.PROGRESS: ReportsProgress,
    Capability.CONNECTION_TEST: ChecksConnection,
    Capability.WAITING: ExplainsWaiting,
    Capability.NOTES: Annotates,
    Capability.DAGS: PausesDags,
    Capability.JOB_CONTROL: ControlsJobs,
    Capability.END_NOTICES: NotifiesEnds,
}
"""The capabilities that have methods."""
