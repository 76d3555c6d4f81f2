"""The runs of the scripted engine. What is not in an entry is computed from the time, so a restart changes nothing."""

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import to_json

from signalbox_contracts.messages.tasks import EndCause, Phase
from signalbox_executor.engines.scripted.journal import Entry
from signalbox_executor.engines.scripted.script import Script


@dataclass
class Run:
    """One accepted start. Instants are seconds of the wall clock, which a restart does not reset."""

    handle: str
    script: Script
    at: float
    cancels: int = 0
    stopped_at: float | None = None
    """When a cancel that was heard takes effect."""
    released_at: float | None = None

    def ends_at(self) -> float:
        natural = float("inf")
        if not self.script.never_ends:
            natural = self.at + self.script.pending_seconds + self.script.run_seconds
        if self.script.held:
            natural = float("inf") if self.released_at is None else max(natural, self.released_at)
        return min(natural, self.stopped_at if self.stopped_at is not None else natural)

    def is_forgotten(self, now: float) -> bool:
        after = self.script.forget_seconds
        return (after is not None and now >= self.at + after) or (self.script.forget_at_end and now >= self.ends_at())

    def answer_at(self, now: float) -> dict[str, Any]:
        """The answer to an observation."""
        answer: dict[str, Any] = {"handle": self.handle, "started_at": self.at}
        if now < self.ends_at():
            pending = now < self.at + self.script.pending_seconds
            return {**answer, "phase": Phase.SUBMITTED if pending else Phase.RUNNING}
        log_bytes = len(self.script.log.encode())
        return {**answer, "ended_at": self.ends_at(), "log_bytes": log_bytes, **self._end()}

    def _end(self) -> dict[str, Any]:
        if self.stopped_at is not None and self.ends_at() == self.stopped_at:
            return {"phase": Phase.KILLED, "cause": EndCause.CANCELLED, "message": "cancelled"}
        if self.script.exit_code:
            message = self.script.message or f"ended with exit code {self.script.exit_code}"
            end = {"phase": Phase.FAILED, "cause": self.script.cause, "message": message}
        else:
            end = {"phase": Phase.SUCCEEDED, "cause": EndCause.COMPLETED, "message": self.script.message}
        return {**end, "exit_code": self.script.exit_code, "result_text": self._result_text()}

    def _result_text(self) -> str | None:
        if self.script.result_text is not None:
            return self.script.result_text
        return None if self.script.result is None else to_json(self.script.result).decode()


@dataclass
class Ledger:
    """All runs by key, copies by handle; every start ever accepted; the sealed keys.

    A change is an entry; `apply` is its meaning.
    """

    runs: dict[str, Run] = field(default_factory=dict[str, Run])
    starts: dict[str, list[dict[str, Any]]] = field(default_factory=dict[str, list[dict[str, Any]]])
    sealed: set[str] = field(default_factory=set[str])
    submits: Counter[str] = field(default_factory=Counter[str])
    """By key, since this process was started: what the counts of a script count."""
    accepted: int = 0

    def find(self, run_key: str, now: float) -> Run | None:
        run = self.runs.get(run_key)
        return None if run is None or run.is_forgotten(now) else run

    def start(self, run_key: str, script: Script, *, copy: bool = False) -> Entry:
        """The entry of a start that is accepted now. A copy is known by its handle."""
        return {
            "is": "start",
            "run_key": run_key,
            "script": script.model_dump(mode="json", exclude_defaults=True),
            "handle": f"run-{self.accepted + 1}",
            "at": time.time(),
            "monotonic": time.monotonic(),
            **({"copy": True} if copy else {}),
        }

    def apply(self, entry: Entry) -> None:
        run_key: str = entry["run_key"]
        match entry["is"]:
            case "start":
                self.accepted += 1
                name = entry["handle"] if entry.get("copy") else run_key
                self.runs[name] = Run(entry["handle"], Script.model_validate(entry["script"]), entry["at"])
                stamp = {name: entry[name] for name in ("handle", "at", "monotonic")}
                self.starts.setdefault(run_key, []).append(stamp)
            case "cancel":
                run = self.runs[run_key]
                run.cancels += 1
                if run.cancels > run.script.ignore_cancels and run.stopped_at is None and entry["at"] < run.ends_at():
                    run.stopped_at = entry["at"] + run.script.stop_seconds
            case "release":
                self.runs[run_key].released_at = entry["at"]
            case "seal":
                self.sealed.add(run_key)
            case unknown:
                raise ValueError(f"entry {unknown!r} is not known to this version")
