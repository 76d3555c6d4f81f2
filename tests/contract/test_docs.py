"""The pages lead somewhere: their links and files are there, and a reader finds every page from the README."""

import re
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import pytest

HOME: Final = Path(__file__).parents[2]
PAGES: Final = [HOME / "README.md", HOME / "CONTRIBUTING.md", *sorted((HOME / "docs").rglob("*.md"))]
SOURCES: Final = [
    path for place in ("libs", "services", "tests", "compose", "deploy") for path in (HOME / place).rglob("*.py")
]
SERVICES: Final = ("gateway", "planner", "executor", "scheduler", "notifier", "chassis")


def links(page: Path) -> set[Path]:
    """What the page links to on disk."""
    found = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
    return {(page.parent / unquote(name)).resolve() for name in found if "://" not in name}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(HOME)))
def test_a_page_links_to_and_names_only_what_is_there(page: Path) -> None:
    assert [str(target) for target in links(page) if not target.exists()] == []
    named = set(re.findall(r"`([a-z][\w/.-]*\.py)`", page.read_text()))
    lost = [name for name in named if not any(source.as_posix().endswith(f"/{_path(name)}") for source in SOURCES)]
    assert lost == []


def test_every_page_is_found_from_the_readme() -> None:
    seen: set[Path] = set()
    ahead = [HOME / "README.md"]
    while ahead:
        page = ahead.pop()
        seen.add(page)
        for target in links(page) - seen:
            ahead += [target] if target.suffix == ".md" else target.glob("*.md") if target.is_dir() else ()
    assert [str(page.relative_to(HOME)) for page in PAGES if page not in seen] == []


def test_each_hop_of_a_request_names_functions_that_its_files_have() -> None:
    page = (HOME / "docs" / "architecture" / "README.md").read_text()
    _, _, rest = page.partition("## The life of a request")
    hops = [line.split("|")[3:5] for line in rest.partition("\n## ")[0].splitlines() if re.match(r"\| \d+ ", line)]
    assert len(hops) > 10
    lost = [f"{files}: {name}" for files, names in hops for name in _code(names) if not _defined(name, _code(files))]
    assert lost == []


def _code(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def _defined(name: str, files: list[str]) -> bool:
    """Whether one of these files has a function or class, and each part of a dotted name."""
    ends = [f"/{_path(file.replace('<kind>', 'KIND'))}" for file in files]
    texts = [path.read_text() for path in SOURCES if path.as_posix().endswith(tuple(ends))]
    parts = [re.compile(rf"^\s*(?:async def|def|class) {part}\b", re.MULTILINE) for part in name.split(".")]
    return any(all(part.search(text) for part in parts) for text in texts)


def _path(name: str) -> str:
    """The end of a path as pages write it: `planner/lifecycle.py`, `libs/.../cron.py`, `engines/KIND/harness.py`."""
    first, _, rest = name.replace("/KIND/", "/process/").rpartition("/.../")[2].partition("/")
    return f"signalbox_{first}/{rest}" if first in SERVICES and rest else f"{first}/{rest}" if rest else first
