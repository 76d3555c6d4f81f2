"""The suite in parts side by side, each with servers of its own: on two cores most tests wait for something.

`python tests/support/parts.py test [pytest options]` for `make test`, `more` for `make test-more`. The minute of chaos
uses all there is: it begins when one part is left to run. The output of a part is printed when it is over. Exits with 1
if a part failed.

A test that ended with DeadlineExceeded (`support/deadlines.py`) is repeated once, alone, after all parts. If it passes
then, it is printed as flaky. A part with any other failure fails, and nothing of it is repeated.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HOME: Final = Path(__file__).parents[2]
INTEGRATION: Final = "tests/integration/"
DEATHS: Final = [INTEGRATION + "executor/test_executor_crash_points.py"]
EXECUTOR: Final = [INTEGRATION + "executor", INTEGRATION + "planner", INTEGRATION + "local"]
"""With two others that make the parts about as long as each other."""
SERVICES: Final = [INTEGRATION + name for name in ("gateway", "notifier", "scheduler", "reprocessor")]
FAULTS: Final = [INTEGRATION + "chassis/test_outages.py", INTEGRATION + "full_stack"]
"""Outages of minutes, and the whole stack rebuilt after a loss."""
MODEL: Final = ["tests/unit/protocol"]
"""A processor for minutes, and nothing else."""
OOZIE: Final = ["-mcore", "tests/engines/oozie"]
"""Mostly waits for the server. With an empty cache its jars are fetched first, which takes less than a minute."""
CHAOS: Final = ["tests/chaos"]


@dataclass(frozen=True, slots=True)
class Part:
    """One running pytest, the file of its output, and the file of its failed tests."""

    name: str
    process: subprocess.Popen[bytes]
    output: Path
    failed: Path


def main(which: str, options: list[str]) -> int:
    elsewhere = [f"--ignore={folder}" for folder in (*EXECUTOR, *SERVICES, *FAULTS, *MODEL, *CHAOS)]
    side_by_side = {
        "test": {
            "the executor, the planner and the local stack": [*EXECUTOR, f"--ignore={DEATHS[0]}"],
            "the executor's deaths and the other services": [*DEATHS, *SERVICES],
            "the rest": ["tests", *elsewhere],
        },
        "more": {
            "the claim protocol's model": MODEL,
            "outages of minutes, and the stack rebuilt": FAULTS,
            "the core of the Oozie engine on a real server": OOZIE,
        },
    }
    after = {"test": {}, "more": {"a minute of chaos": CHAOS}}
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        late = _run(side_by_side[which], after[which], options, Path(folder), began)
        if None in late:
            return 1
        tests = [test for tests in late if tests for test in tests]
        return _repeat(tests, Path(folder), began) if tests else 0


def _run(
    parts: Mapping[str, Sequence[str]],
    after: Mapping[str, Sequence[str]],
    options: Sequence[str],
    folder: Path,
    began: float,
) -> list[Sequence[str] | None]:
    """Run `parts` at once, and `after` when one of them is left. A missing folder is left out.

    Returns each part's tests to repeat, or None when it failed.
    """
    running = [_start(name, [*filter(_is_there, words), *options], folder) for name, words in parts.items()]
    while sum(part.process.poll() is None for part in running) > 1:
        time.sleep(0.5)
    running += [_start(name, [*filter(_is_there, words), *options], folder) for name, words in after.items()]
    return [_finish(part, began) for part in running]


def _finish(part: Part, began: float) -> Sequence[str] | None:
    code = part.process.wait()
    print(f"===== {part.name} (over after {time.monotonic() - began:.0f} s)", flush=True)
    sys.stdout.write(part.output.read_text(errors="replace"))
    sys.stdout.flush()
    failed = [line.partition(" ") for line in part.failed.read_text().splitlines()]
    if code and (not failed or any(kind != "deadline" for kind, _, _ in failed)):
        return None
    return list(dict.fromkeys(test for _, _, test in failed))


def _repeat(tests: Sequence[str], folder: Path, began: float) -> int:
    """Run tests that ran out of time once more, alone. Returns the exit code."""
    print(f"===== repeated once, alone, after DeadlineExceeded: {', '.join(tests)}", flush=True)
    if _finish(_start("repeated", tests, folder), began) != []:
        return 1
    print("".join(f"FLAKY {test}: DeadlineExceeded, then passed alone\n" for test in tests), end="", flush=True)
    return 0


def _is_there(word: str) -> bool:
    return word.startswith("-") or (HOME / word).exists()


def _start(name: str, words: Sequence[str], folder: Path) -> Part:
    number = len(list(folder.iterdir()))
    output, failed = folder / f"{number}.output", folder / f"{number}.failed"
    failed.touch()
    with output.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--durations=15", *words],
            cwd=HOME, stdout=stream, stderr=stream, env={**os.environ, "SIGNALBOX_FAILED_TESTS": str(failed)},
        )  # fmt: skip
    return Part(name, process, output, failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
