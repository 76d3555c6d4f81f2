"""The whole suite in parts side by side, each with servers of its own: on two cores most tests wait for something.

`python tests/support/parts.py [pytest options]`. The minute of chaos comes after the rest, alone: it uses all there is.
What a part says is printed when it is over; exits with 1 if one failed.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final

HOME: Final = Path(__file__).parents[2]
DEATHS: Final = ["tests/integration/executor/test_executor_crash_points.py"]
EXECUTOR: Final = ["tests/integration/executor", f"--ignore={DEATHS[0]}"]
LOCAL: Final = ["tests/integration/local"]
SERVICES: Final = [f"tests/integration/{name}" for name in ("planner", "gateway", "client", "full_stack")]
ENGINES: Final = ["tests/engines"]
CHAOS: Final = ["tests/chaos"]


def main(options: list[str]) -> int:
    elsewhere = [f"--ignore={folder}" for folder in (EXECUTOR[0], *SERVICES, *ENGINES, *LOCAL, *CHAOS)]
    began = time.monotonic()
    side_by_side = {
        "the executor": EXECUTOR,
        "the executor's deaths, the other services, the local servers": [*DEATHS, *SERVICES, *ENGINES, *LOCAL],
        "the rest": ["tests", *elsewhere],
    }
    codes = [
        *_run(side_by_side, options, began),
        *_run({"a minute of chaos": CHAOS}, options, began),
    ]
    return 1 if any(codes) else 0


def _run(parts: Mapping[str, Sequence[str]], options: Sequence[str], began: float) -> list[int]:
    """Run these at once; their exit codes. A folder that has no tests yet is left out."""
    running = {name: _start([word for word in words if _is_there(word)], options) for name, words in parts.items()}
    codes: list[int] = []
    for name, (process, said) in running.items():
        codes.append(process.wait())
        said.seek(0)
        print(f"===== {name} (over after {time.monotonic() - began:.0f} s)", flush=True)
        sys.stdout.write(said.read().decode(errors="replace"))
        sys.stdout.flush()
    return codes


def _is_there(word: str) -> bool:
    return word.startswith("-") or (HOME / word).exists()


def _start(words: Sequence[str], options: Sequence[str]) -> tuple[subprocess.Popen[bytes], IO[bytes]]:
    said = tempfile.TemporaryFile()  # noqa: SIM115 -- read when the part is over
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words, *options],
        cwd=HOME, stdout=said, stderr=said,
    )  # fmt: skip
    return process, said


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
