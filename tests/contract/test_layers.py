"""Imports point one way, for services that nobody has listed as well: services → chassis → contracts."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HOME = Path(__file__).parents[2]
SHARED = {"signalbox_contracts", "signalbox_chassis"}
PACKAGES = sorted(file.parent for file in HOME.glob("services/*/src/signalbox_*/__init__.py"))


def imported(file: Path, parts: int = 1) -> Iterator[str]:
    """The packages of ours that a file imports, or their first `parts`."""
    for node in ast.walk(ast.parse(file.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        yield from (".".join(name.split(".")[:parts]) for name in names if name.startswith("signalbox_"))


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_a_service_imports_no_other_service(package: Path) -> None:
    """Services speak typed events only: an import would make two of them one."""
    found = {name for file in package.rglob("*.py") for name in imported(file)}
    assert found <= SHARED | {package.name}
    assert found >= {"signalbox_contracts"}, "the check sees imports"


SQL = re.compile(r"\b(SELECT|INSERT INTO|DELETE FROM|UPDATE [a-z_]+( [a-z])? SET|WITH [a-z_]+ AS)\b")
SQL_ROOMS = {"store", "migrations"}
"""Rooms of a service whose modules may hold SQL."""
MORE_SQL_ROOMS = {"signalbox_gateway": {"read_model", "definitions"}, "signalbox_reprocessor": {"worker/ledger"}}
"""Those that one service has beside them. The workers of reprocessing have no store: they write their ledger."""


def strings(file: Path) -> Iterator[str]:
    """The texts of a file, without its docstrings."""
    nodes = list(ast.walk(ast.parse(file.read_text())))
    blocks = [n for n in nodes if isinstance(n, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)]
    docs = {id(block.body[0].value) for block in blocks if block.body and isinstance(block.body[0], ast.Expr)}
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.value


def builds_statements(file: Path) -> bool:
    """Whether a file imports what statements are built with."""
    tree = ast.parse(file.read_text())
    modules = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return bool({module.partition(".")[0] for module in modules} & {"sqlalchemy", "sqlmodel"})


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_sql_stands_in_its_rooms_alone(package: Path) -> None:
    """A route or a rule with a statement of its own is a second place that knows the tables."""
    files = {file for file in package.rglob("*.py") if any(map(SQL.search, strings(file))) or builds_statements(file)}
    assert files, "the check sees statements"
    rooms = {package / room for room in SQL_ROOMS | MORE_SQL_ROOMS.get(package.name, set())}
    assert [file for file in sorted(files) if not rooms & {file.with_suffix(""), *file.parents}] == []


def pure_contract() -> dict[str, Any]:
    """The contract of import-linter that names the pure modules."""
    contracts = tomllib.loads((HOME / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    return next(contract for contract in contracts if contract["name"].startswith("rules are pure"))


def imports_of(tree: ast.Module) -> set[str]:
    """Every module that a file imports, and every name that it imports from one, in full."""
    found = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_every_module_of_rules_is_held_pure() -> None:
    """A module of rules that the contract does not name may begin to do IO, and nobody notices."""
    contract = pure_contract()
    listed = set(contract["source_modules"])
    does_io = {*contract["forbidden_modules"], "alembic", "httpx", "kubernetes_asyncio", "signalbox_chassis"}
    trees: dict[str, ast.Module] = {}
    for package in PACKAGES:
        for file in package.rglob("*.py"):
            trees[".".join(file.relative_to(package.parent).with_suffix("").parts)] = ast.parse(file.read_text())
    imports = {name: imports_of(tree) for name, tree in trees.items()}
    kinds = {name: {type(node) for node in ast.walk(tree)} for name, tree in trees.items()}
    pure = {
        name
        for name in trees
        if ast.AsyncFunctionDef not in kinds[name] and not {one.partition(".")[0] for one in imports[name]} & does_io
    } | listed
    while impure := {name for name in pure - listed if imports[name] & (trees.keys() - pure)}:
        pure -= impure
    assert {name for name in pure if name in trees and ast.FunctionDef in kinds[name]} <= listed


ROOMS: dict[str, set[str]] = {
    "blobs": set(),
    "messaging": {"observability", "persistence", "runtime"},
    "observability": set(),
    "persistence": {"messaging", "runtime", "security", "settings"},
    "runtime": {"messaging", "observability", "persistence", "security", "settings"},
    "security": {"observability", "persistence", "settings"},
    "setting_aliases": set(),
    "settings": {"messaging", "setting_aliases"},
    "settings_table": {"settings"},
    "start_fence": {"blobs"},
}
"""Which rooms of the chassis use which. Nothing is below observability, blobs and the fence of starts."""


def test_the_rooms_of_the_chassis_use_each_other_as_here() -> None:
    chassis = HOME / "libs/chassis/src/signalbox_chassis"
    found: dict[str, set[str]] = {}
    for file in chassis.rglob("*.py"):
        room = file.relative_to(chassis).parts[0].removesuffix(".py")
        used = {name.split(".")[1] for name in imported(file, parts=2) if name.startswith("signalbox_chassis.")}
        found.setdefault(room, set()).update(used - {room})
    del found["__init__"]
    assert found == ROOMS
