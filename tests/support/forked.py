"""Services and scripted engines as processes that start in a moment: forked from one that has everything loaded.

To load a service's modules takes two seconds of a processor; a run of tests starts hundreds of them. What is forked is
a whole service all the same: its own process, connections and consumers, killed by a real SIGKILL.
"""

import asyncio
import multiprocessing
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Final, Literal

from signalbox_local.launch import die_with

Name = Literal["executor", "example", "scripted engine"]
_LOADED = multiprocessing.get_context("forkserver")
# of what is installed only: up to Python 3.11.8 the forking process does not get our sys.path, and says nothing of it
_LOADED.set_forkserver_preload([
    "signalbox_executor.app", "signalbox_executor.settings", "signalbox_executor.engines.scripted.server",
    "signalbox_local.launch",
])  # fmt: skip


def _become(name: Name, environment: Mapping[str, str], log: str) -> None:
    die_with(os.getppid())  # a run of tests that is cut off leaves none behind
    os.setpgid(0, 0)
    with Path(log).open("ab") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    os.environ.clear()
    os.environ.update(environment)
    _RUN[name](environment)


def _run_executor(environment: Mapping[str, str]) -> None:
    from signalbox_chassis.runtime import crash_points
    from signalbox_executor.app import executor
    from signalbox_executor.settings import ExecutorSettings

    crash_points.arm(environment.get("SIGNALBOX_CRASH_AT", ""))
    executor(ExecutorSettings.load()).run()


def _run_example(environment: Mapping[str, str]) -> None:
    from example_service.app import example_service
    from signalbox_chassis.runtime import crash_points
    from signalbox_chassis.settings import ServiceSettings

    crash_points.arm(environment.get("SIGNALBOX_CRASH_AT", ""))
    example_service(ServiceSettings.load()).run()


def _run_scripted_engine(environment: Mapping[str, str]) -> None:
    from signalbox_executor.engines.scripted.server import serve

    asyncio.run(serve(Path(environment["FOLDER"]), port=0))


# each imports what it runs: a run of tests that starts none of them need not load them
_RUN: Final[Mapping[Name, Callable[[Mapping[str, str]], None]]] = {
    "executor": _run_executor, "example": _run_example, "scripted engine": _run_scripted_engine,
}  # fmt: skip


@dataclass(frozen=True)
class Forked:
    """One forked process, with the methods of `subprocess.Popen` that tests need."""

    process: ForkServerProcess

    @classmethod
    def start(cls, name: Name, environment: Mapping[str, str], log: Path) -> "Forked":
        """Run it in a process group of its own; what it says is added to the log."""
        process = _LOADED.Process(target=_become, args=(name, dict(environment), str(log)))
        process.start()
        return cls(process)

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def poll(self) -> int | None:
        """None while it lives, -9 after a SIGKILL."""
        return self.process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once it has ended. Raises `subprocess.TimeoutExpired`."""
        self.process.join(timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(self.process.name, timeout or 0.0)
        return code

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def end(self) -> None:
        """kill -9, also if it is frozen; again is harmless."""
        self.send_signal(signal.SIGCONT)
        self.kill()
        self.process.join()
