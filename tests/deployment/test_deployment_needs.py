"""A target of the Makefile names each thing it lacks in a line before anything starts."""

import re
from pathlib import Path

import pytest

from deployment.needs import TARGETS, main

MAKEFILE = (Path(__file__).parents[2] / "Makefile").read_text()


def test_every_target_of_this_folder_asks_before_it_fetches_or_starts_anything() -> None:
    recipes = {
        target: recipe
        for target, recipe in re.findall(r"^test-([a-z0-9-]+): setup ##.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
        if "tests/deployment/test_" in recipe
    }
    assert set(recipes) == set(TARGETS)
    for target, recipe in recipes.items():
        assert recipe.splitlines()[0] == f"\t@$(BIN)/python tests/deployment/needs.py {target}"


@pytest.mark.parametrize("target", TARGETS)
def test_on_an_empty_machine_each_line_says_what_to_install(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("SIGNALBOX_CACHE", str(tmp_path))
    monkeypatch.setattr("deployment.needs.COMPOSE_FOLDERS", ())
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.delenv("SIGNALBOX_TEST_DOCKER_HOST", raising=False)
    assert main(target) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines
    assert len(set(lines)) == len(lines)
    for line in lines:
        assert line.startswith(f"make test-{target}: ")
        assert "install" in line
