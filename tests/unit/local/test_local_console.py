"""The console is built once for each state of its sources; a build that fails stops nothing."""

import threading
from pathlib import Path

import pytest

from signalbox_local import console
from signalbox_local.console import BuildFailed, Console
from signalbox_local.progress import Reporter


class Lines(Reporter):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def report(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def one(tmp_path: Path) -> Console:
    sources = tmp_path / "sources"
    (sources / "src").mkdir(parents=True)
    (sources / "src" / "main.tsx").write_text("one")
    return Console(sources, tmp_path / "cache" / "console" / "digest", Lines())


def test_a_changed_source_is_another_console_and_a_changed_test_is_not(one: Console) -> None:
    assert one.sources is not None
    first = console.digest_of(one.sources)
    (one.sources / "src" / "main.test.tsx").write_text("a test")
    assert console.digest_of(one.sources) == first
    (one.sources / "src" / "main.tsx").write_text("two")
    assert console.digest_of(one.sources) != first


def test_a_build_that_fails_is_one_line_and_the_stack_goes_on(one: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing() -> tuple[str, list[str]]:
        raise BuildFailed("there is\nno Node")

    monkeypatch.setattr(console, "find_node", nothing)
    went_on = threading.Event()
    with one.building():
        went_on.set()
    assert went_on.is_set()
    assert isinstance(one.reporter, Lines)
    assert one.reporter.lines[-1] == "no web console: there is no Node; all else works without it"
    assert not one.built
    assert not list(one.folder.parent.glob("draft-*"))


def test_what_is_built_is_not_built_again(one: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    one.folder.mkdir(parents=True)
    (one.folder / "index.html").write_text("built")
    monkeypatch.setattr(console, "find_node", lambda: pytest.fail("it is built already"))
    with one.building():
        pass
    assert isinstance(one.reporter, Lines)
    assert one.reporter.lines == []
