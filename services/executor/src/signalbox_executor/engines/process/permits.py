"""What the operator allows to run here, and the check of a submission against it. Pure but for looking at paths.

There is no shell anywhere: a program is started with its arguments as they are. An interpreter on the list is as
good as a shell, though: whoever allows `/bin/sh` allows everything.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from signalbox_contracts.definitions.work import ProcessWork
from signalbox_executor.engines.port import EngineRefused, Submission
from signalbox_executor.engines.process import records

TEXT_BYTES: Final = 128 * 1024 - 1
"""Linux takes no longer single argument (MAX_ARG_STRLEN, execve(2))."""
ALL_BYTES: Final = 1024 * 1024
"""Arguments and environment together; Linux allows at least 2 MiB with the usual stack limit."""
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RUN_KEY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_OURS: Final = ("SIGNALBOX_", "TRACEPARENT", "LD_")
"""Names that start so cannot be set by work: the first two are ours, the last loads code into an allowed program."""


@dataclass(frozen=True, kw_only=True)
class Permits:
    """Absolute paths, as the operator set them."""

    programs: tuple[Path, ...] = ()
    working_folders: tuple[Path, ...] = ()
    """A run may work in these and in what is below them. Without a folder of its own it works in its run's folder."""

    def spec(self, submission: Submission, folder: Path) -> dict[str, Any]:
        """What the supervisor shall do, or `EngineRefused` with the field, its value and what is allowed."""
        work = submission.work
        if not isinstance(work, ProcessWork):
            raise _refused("work.kind", work.kind, "only 'process' runs here")
        environment = self._environment(submission, work, folder)
        _check_sizes(work, environment)
        return {
            "executable": self._program(work.argv[0]),
            "argv": list(work.argv),
            "environment": environment,
            "working_directory": self._working_directory(work, folder),
            "stop_grace_seconds": work.stop_grace_seconds,
            "time_limit_seconds": submission.time_limit_seconds,
            "secrets": list(submission.secrets),
        }

    def _program(self, requested: str) -> str:
        """The real path: exchanging a link after this check changes nothing. argv[0] stays as it was requested for."""
        real = os.path.realpath(requested)
        named = any(os.path.normpath(requested) == os.path.normpath(program) for program in self.programs)
        if named or (Path(requested).is_absolute() and real in map(os.path.realpath, self.programs)):
            return real
        raise _refused("work.argv[0]", requested, _choice("programs", self.programs))

    def _working_directory(self, work: ProcessWork, folder: Path) -> str:
        requested = work.working_directory
        if requested is None:
            return str(folder / records.WORK)
        real = Path(os.path.realpath(requested))
        if not Path(requested).is_absolute() or not any(
            real.is_relative_to(os.path.realpath(allowed)) for allowed in self.working_folders
        ):
            raise _refused("work.working_directory", requested, _choice("folders", self.working_folders))
        if not real.is_dir():
            raise _refused("work.working_directory", requested, "there is no such folder on this host")
        return str(real)

    def _environment(self, submission: Submission, work: ProcessWork, folder: Path) -> dict[str, str]:
        for name in work.environment:
            if not _NAME.fullmatch(name) or name.startswith(_OURS):
                allowed_names = (
                    f"letters, digits and _ are allowed, no digit first, and nothing that begins with {_either(_OURS)}"
                )
                raise _refused("work.environment", name, allowed_names)
        ours = {
            "SIGNALBOX_RUN_KEY": submission.run_key,
            "SIGNALBOX_TASK_ID": str(submission.task_id),
            "SIGNALBOX_ATTEMPT": str(submission.attempt),
            "SIGNALBOX_RESULT": str(folder / records.RESULT),
        }
        trace = {"TRACEPARENT": submission.traceparent} if submission.traceparent else {}
        return {**work.environment, **ours, **trace}


def check_run_key(run_key: str) -> str:
    """The run key, fit to be a folder's name; raises `EngineRefused`."""
    if not _RUN_KEY.fullmatch(run_key):
        raise _refused(
            "run_key", run_key, "up to 63 letters, digits, `.`, `_` and `-` are allowed, a letter or digit first"
        )
    return run_key


def _check_sizes(work: ProcessWork, environment: dict[str, str]) -> None:
    # of the environment only the name is shown: its values may be secret
    texts = [(f"work.argv[{at}]", text, text) for at, text in enumerate(work.argv)]
    texts += [(f"work.environment.{name}", f"{name}={value}", name) for name, value in environment.items()]
    for field, text, shown in texts:
        if "\0" in text:
            raise _refused(field, shown, "text without a zero byte is allowed")
        if len(text.encode()) > TEXT_BYTES:
            raise _refused(field, shown, f"it has {len(text.encode())} bytes, {TEXT_BYTES} are allowed")
    if (size := sum(len(text.encode()) for _, text, _ in texts)) > ALL_BYTES:
        raise _refused("work", "argv and environment", f"they have {size} bytes, {ALL_BYTES} are allowed")


def _refused(field: str, value: str, why: str) -> EngineRefused:
    shown = value.encode(errors="replace").decode()[:200]
    return EngineRefused("process", f"{shown!r} is not allowed: {why}", field=field, value=shown)


def _choice(what: str, paths: tuple[Path, ...]) -> str:
    return f"allowed {what} are {', '.join(map(str, paths))}" if paths else f"the operator allowed no {what}"


def _either(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
