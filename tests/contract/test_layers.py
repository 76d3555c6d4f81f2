"""Imports point one way, for services that nobody has listed as well: services → chassis → contracts."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

HOME = Path(__file__).parents[2]
SHARED = {"signalbox_contracts", "signalbox_chassis"}
PACKAGES = sorted(file.parent for file in HOME.glob("services/*/src/signalbox_*/__init__.py"))


def imported(file: Path) -> Iterator[str]:
    """The packages of ours that a file imports."""
    for node in ast.walk(ast.parse(file.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        yield from (name.split(".")[0] for name in names if name.startswith("signalbox_"))


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_a_service_imports_no_other_service(package: Path) -> None:
    """Services speak typed events only: an import would make two of them one."""
    found = {name for file in package.rglob("*.py") for name in imported(file)}
    assert found <= SHARED | {package.name}
    assert found >= {"signalbox_contracts"}, "the check sees imports"
