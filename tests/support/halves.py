"""The whole suite in two halves side by side, each with servers of its own: on two cores most tests wait for something.

`python tests/support/halves.py [pytest options]`. What a half says is printed when it is over; exits with 1 if either
failed.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

HOME = Path(__file__).parents[2]
SERVICES = [f"tests/integration/{name}" for name in ("executor", "planner", "gateway", "engines", "client")]


def main(options: list[str]) -> int:
    present = [folder for folder in SERVICES if (HOME / folder).exists()]
    halves = {
        "the services": present,
        "everything else": ["tests", *(f"--ignore={folder}" for folder in present)],
    }
    began = time.monotonic()
    running = {name: _start([*words, *options]) for name, words in halves.items()}
    failed = False
    for name, (process, said) in running.items():
        code = process.wait()
        said.seek(0)
        print(f"===== {name} (over after {time.monotonic() - began:.0f} s)", flush=True)
        sys.stdout.write(said.read().decode(errors="replace"))
        sys.stdout.flush()
        failed = failed or code != 0
    return 1 if failed else 0


def _start(words: list[str]) -> tuple[subprocess.Popen[bytes], IO[bytes]]:
    said = tempfile.TemporaryFile()  # noqa: SIM115 -- read when the half is over
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words], cwd=HOME, stdout=said, stderr=said
    )
    return process, said


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
