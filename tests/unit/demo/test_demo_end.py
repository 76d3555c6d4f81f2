"""The last lines of the demonstration: where to look further."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from demo.__main__ import where_the_console_is
from signalbox_local.console import Console
from signalbox_local.progress import Reporter


def test_the_demonstration_ends_with_the_consoles_address_or_with_what_builds_it(tmp_path: Path) -> None:
    console = Console(None, tmp_path, Reporter())
    stack: Any = SimpleNamespace(console=console, api_url="http://api:1", password_file=tmp_path / "password")
    assert where_the_console_is(stack) == "`make up` builds the web console"
    (tmp_path / "index.html").touch()
    assert where_the_console_is(stack).startswith("web console: http://api:1/console/ (user admin, password in ")
