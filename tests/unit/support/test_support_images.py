"""What images install: named by their members, locked with hashes, under licences that are allowed."""

import importlib.util
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path
from types import ModuleType

import pytest

from support import image_packages
from support.image_packages import FOLDER, HOME


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, HOME / "compose/images" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_package_of_an_image_has_a_licence_that_is_allowed() -> None:
    names = {name for file in FOLDER.glob("*.txt") for name in file.read_text().split()}
    assert len(names) > 50
    assert script("sbom").problems({name: distribution(name) for name in names}) == []


def test_a_licence_that_is_not_allowed_is_named(tmp_path: Path) -> None:
    found = tmp_path / "evil-1.dist-info"
    found.mkdir()
    (found / "METADATA").write_text(
        "Metadata-Version: 2.4\nName: evil\nVersion: 1\nLicense-Expression: AGPL-3.0-only\n"
    )
    from importlib.metadata import Distribution

    assert script("sbom").problems({"evil": Distribution.at(found)}) == ["evil: licence AGPL-3.0-only"]


def test_the_bill_of_materials_names_each_package_with_its_version() -> None:
    shown = script("sbom").document({"asyncpg": distribution("asyncpg")})
    assert shown["bomFormat"] == "CycloneDX"
    assert shown["components"][0]["purl"] == f"pkg:pypi/asyncpg@{distribution('asyncpg').version}"


def test_an_image_needs_what_its_member_needs_and_nothing_of_the_tests() -> None:
    planner = (FOLDER / "planner.txt").read_text().split()
    assert {"asyncpg", "faststream", "pydantic"} <= set(planner)
    assert not {"pytest", "fastapi", "typer-cli", "kubernetes-asyncio", "hypothesis"} & set(planner)
    assert set(image_packages.IMAGES) | {"build"} == {file.stem for file in FOLDER.glob("*.txt")}


@pytest.mark.parametrize(("name", "code"), [("asyncpg", 0), ("no-such-package", 1)])
def test_entries_of_the_lock_come_with_their_hashes(name: str, code: int, tmp_path: Path) -> None:
    (tmp_path / "names").write_text(f"{name}\n")
    command = [sys.executable, HOME / "compose/images/locked.py", HOME / "requirements.lock", tmp_path / "names"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == code
    assert ("--hash=sha256:" in done.stdout) == (code == 0)
    assert (name in done.stderr) == (code == 1)


def test_the_packages_of_the_console_are_in_its_bill_of_materials() -> None:
    sbom = script("sbom")
    console = sbom.console_packages(HOME / "services/console/package-lock.json")
    assert sbom.problems({}, console) == []
    assert "playwright" not in " ".join(console), "what only tests need is no part of the image"
    shown = sbom.document({}, {**console, "@of/scope": ("1.2.3", "MIT")})
    assert "pkg:npm/%40of/scope@1.2.3" in [one["purl"] for one in shown["components"]]
    assert any(one["name"] == "react" for one in shown["components"])
    assert sbom.problems({}, {"evil": ("1", "GPL-3.0")}) == ["npm evil: licence GPL-3.0"]
