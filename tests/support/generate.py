"""`python tests/support/generate.py [--check]`: every generated file of the repository, written or checked at once.

JSON Schemas, golden samples and `asyncapi.json` come from the contracts, `openapi.json` from the routes, `settings.md`
from the settings classes, `cli.md` from the commands, the table of `faults.md` from the tests, and the package names of
each image from the lock. `--check` names each stale file, writes nothing and exits with 1.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from signalbox_chassis import settings_table
from signalbox_client import reference
from signalbox_contracts import generate as contracts
from signalbox_contracts.services import installed_services
from signalbox_gateway import openapi

HOME: Final = Path(__file__).parents[2]
sys.path.insert(0, str(HOME / "tests"))


def documents() -> dict[Path, str]:
    """Each generated document that is one file, with its text of now."""
    from support import image_packages, proofs

    return {
        openapi.FILE: openapi.text(),
        HOME / "docs/settings.md": settings_table.document(settings_table.settings_classes(installed_services())),
        reference.FILE: reference.text(),
        proofs.PAGE: proofs.page(proofs.PAGE.read_text(encoding="utf-8")),
        **image_packages.documents(),
    }


def stale(wanted: Mapping[Path, str]) -> list[str]:
    """A line for each file that is missing or has another text."""
    return [
        f"{file} is stale: run `make generate`"
        for file, text in wanted.items()
        if not file.is_file() or file.read_text(encoding="utf-8") != text
    ]


def main(arguments: list[str]) -> int:
    """The exit code."""
    wanted = documents()
    if arguments == ["--check"]:
        lines = [*contracts.stale(contracts.HOME, contracts.generated()), *stale(wanted)]
        print("\n".join(lines), end="\n" if lines else "")
        return 1 if lines else 0
    contracts.write(contracts.HOME, contracts.generated())
    for file, text in wanted.items():
        file.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
