"""The files that `docs/architecture/README.md` names are there: a page that leads nowhere is worse than none."""

import re
from pathlib import Path

HOME = Path(__file__).parents[2]
PAGE = (HOME / "docs" / "architecture" / "README.md").read_text()
PLACES = {
    "gateway/": "services/api-gateway/src/signalbox_gateway/",
    "planner/": "services/planner/src/signalbox_planner/",
    "executor/": "services/executor/src/signalbox_executor/",
    "chassis/": "libs/chassis/src/signalbox_chassis/",
}


def named_files() -> list[Path]:
    """Every Python file in backquotes on the page."""
    found: list[Path] = []
    for name in re.findall(r"`([a-z][\w/.-]*\.py)`", PAGE):
        short = next((place for place in PLACES if name.startswith(place)), None)
        found.append(HOME / (name.replace(short, PLACES[short], 1) if short else name))
    return found


def test_every_file_that_the_page_names_is_there() -> None:
    files = named_files()
    assert len(files) > 25
    assert [str(file) for file in files if not file.is_file()] == []
