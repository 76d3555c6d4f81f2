"""The engines on which every crash point is tried. One added later joins by a class and a line in `ENGINES`."""

import os
import shlex
import signal
from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import aiohttp

from signalbox_contracts.definitions.work import ProcessWork, ScriptedWork, Work
from signalbox_executor.engines.process import records
from support.scripted import scripted_server

SHELL = Path("/bin/sh")
LATE_SECONDS = 4.0
"""How long a submit of late work is under way, at least; a drive that gives up sooner leaves it in flight."""


@dataclass(frozen=True, kw_only=True)
class Do:
    """What a piece of work shall do, in words every engine can carry out."""

    endless: bool = False
    """Runs until it is cancelled."""
    exit_code: int = 0
    refused: bool = False
    """The engine refuses it for good."""
    late: bool = False
    """Its submits take long to be accepted: `late` says until when."""
    unheard: bool = False
    """Its first submit is accepted, and nobody hears so: the executor dies at the engine's own `unheard` point."""
    forgotten: bool = False
    """The engine loses its memory of it, by itself or when `forget` is called."""


class CrashEngine(Protocol):
    """An engine that runs as long as the tests of a module do."""

    unheard: str
    """The crash point passed when the engine accepted and its answer is lost."""
    settings: Mapping[str, str]
    """What an executor needs to know to reach it, beside the definition."""
    connection: Mapping[str, str]
    """The definition's connection."""

    @classmethod
    def started(cls, folder: Path) -> AbstractContextManager["CrashEngine"]: ...

    def work(self, key: str, do: Do) -> Work: ...

    def late(self, key: str) -> AbstractContextManager[None]:
        """Inside, submits of this key are under way and not accepted. Work that is `late` only."""
        ...

    async def starts(self, key: str) -> int:
        """How many times work of this key began to run."""
        ...

    def forget(self, key: str) -> None:
        """Know the key no more."""
        ...

    def clean(self, key: str) -> None:
        """Leave nothing running that a test has lost sight of."""
        ...


class Scripted:
    """The scripted engine: every start is in its ledger before it answers."""

    unheard = "executor.unheard"
    settings: Mapping[str, str] = {}

    def __init__(self, url: str) -> None:
        self._url = url
        self.connection: Mapping[str, str] = {"kind": "scripted", "url": url}

    @classmethod
    @contextmanager
    def started(cls, folder: Path) -> Generator["Scripted"]:
        with scripted_server(folder) as url:
            yield cls(url)

    def work(self, key: str, do: Do) -> Work:
        script: dict[str, Any] = {
            "never_ends": do.endless,
            "exit_code": do.exit_code,
            "refuse": "no such class" if do.refused else "",
            "accept_delay_seconds": LATE_SECONDS if do.late else 0,
            "lose_answers": int(do.unheard),
            "forget_seconds": 1.0 if do.forgotten else None,
        }
        return ScriptedWork(script=script)

    def late(self, key: str) -> AbstractContextManager[None]:
        return nullcontext()

    async def starts(self, key: str) -> int:
        async with aiohttp.ClientSession() as session, session.get(f"{self._url}/starts") as answer:
            return len((await answer.json())["starts"].get(key, ()))

    def forget(self, key: str) -> None:
        """It does so by itself, see `work`."""

    def clean(self, key: str) -> None:
        """It runs nothing."""


class Process:
    """The process engine: the program itself stamps a file each time it begins."""

    unheard = "process.started"
    connection: Mapping[str, str] = {"kind": "process"}

    def __init__(self, folder: Path) -> None:
        self._runs = folder / "process" / "runs"
        self._stamps = folder / "stamps"
        self.settings: Mapping[str, str] = {
            "SIGNALBOX_PROCESS_FOLDER": str(folder / "process"),
            "SIGNALBOX_PROCESS_PROGRAMS": str(SHELL),
        }

    @classmethod
    @contextmanager
    def started(cls, folder: Path) -> Generator["Process"]:
        engine = cls(folder)
        engine._runs.mkdir(parents=True)
        engine._stamps.mkdir()
        yield engine

    def work(self, key: str, do: Do) -> Work:
        end = "exec sleep 600" if do.endless else f"exit {do.exit_code}"
        # the key names the attempt, which one task's work does not know
        text = f'echo $$ >> {shlex.quote(str(self._stamps))}/"$SIGNALBOX_RUN_KEY"\n{end}'
        program = "/bin/not-allowed" if do.refused else str(SHELL)
        return ProcessWork(argv=(program, "-c", text))

    @contextmanager
    def late(self, key: str) -> Generator[None]:
        """A supervisor starts nothing while another has the lock of the run's folder."""
        folder = self._runs / key
        folder.mkdir(0o700, exist_ok=True)
        with records.locked(folder) as ours:
            assert ours
            yield

    async def starts(self, key: str) -> int:
        stamps = self._stamps / key
        return len(stamps.read_text().splitlines()) if stamps.exists() else 0

    def forget(self, key: str) -> None:
        (self._runs / key).rename(self._runs.parent / f"lost-{key}")

    def clean(self, key: str) -> None:
        for pid in records.carriers(key):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


ENGINES: Mapping[str, type[CrashEngine]] = {"scripted": Scripted, "process": Process}
