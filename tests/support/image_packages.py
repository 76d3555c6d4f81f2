"""Which packages of `requirements.lock` each image installs: those that its workspace members need.

The dependencies come from the installed packages of the environment, which `requirements.lock` made. The build takes
versions and hashes from the lock itself (`compose/images/locked.py`).
"""

import re
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

HOME: Final = Path(__file__).parents[2]
FOLDER: Final = HOME / "compose/images/packages"
IMAGES: Final = {
    "api-gateway": ("signalbox-gateway",),
    "executor": ("signalbox-executor", "signalbox-reprocessor"),
    "notifier": ("signalbox-notifier",),
    "planner": ("signalbox-planner",),
    "reprocessor": ("signalbox-reprocessor",),
    "reprocessing-worker": ("signalbox-reprocessor",),
    "scheduler": ("signalbox-scheduler",),
    "tools": (
        "signalbox-client", "signalbox-executor", "signalbox-gateway", "signalbox-notifier", "signalbox-planner",
        "signalbox-reprocessor", "signalbox-scheduler",
    ),
}  # fmt: skip
"""Image → the workspace members that it holds. The executor's process engine runs the reprocessing worker too."""
BUILD: Final = ("uv", "uv-build")
"""What the build stage needs, from the same lock."""
_ENVIRONMENT: Final = {"python_version": "3.11", "python_full_version": "3.11.2", "sys_platform": "linux"}


def documents() -> dict[Path, str]:
    """Each file of names with its text of now."""
    locked = _locked(HOME / "requirements.lock")
    names = {image: _needed(members) & locked for image, members in IMAGES.items()}
    return {
        FOLDER / f"{image}.txt": "".join(f"{name}\n" for name in sorted(wanted))
        for image, wanted in {**names, "build": set(BUILD)}.items()
    }


def _locked(lock: Path) -> set[str]:
    """The canonical names of the packages in the lock."""
    return {
        canonicalize_name(name) for name in re.findall(r"^([\w.-]+)==", lock.read_text(encoding="utf-8"), re.MULTILINE)
    }


def _needed(members: tuple[str, ...]) -> set[str]:
    """The names of all packages below the members, members included."""
    seen: set[tuple[NormalizedName, str]] = set()
    waiting = [(canonicalize_name(member), "") for member in members]
    while waiting:
        one = waiting.pop()
        if one not in seen:
            seen.add(one)
            waiting += _below(*one)
    return {name for name, _ in seen}


def _below(name: str, extra: str) -> Iterator[tuple[NormalizedName, str]]:
    for text in distribution(name).requires or ():
        needed = Requirement(text)
        if needed.marker is None or needed.marker.evaluate({**_ENVIRONMENT, "extra": extra}):
            yield canonicalize_name(needed.name), ""
            yield from ((canonicalize_name(needed.name), wanted) for wanted in needed.extras)
