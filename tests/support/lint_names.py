"""`python tests/support/lint_names.py`: fails when an identifier contains a word of `.ci/banned-names.toml`.

Names of tests are sentences, so their words are free. Comments and docstrings are read by people, not by this check.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

HOME: Final = Path(__file__).parents[2]
RULES: Final = tomllib.loads((HOME / ".ci" / "banned-names.toml").read_text())
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def identifiers(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every name that a module defines or uses, with its line."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name) | ast.ClassDef(name=name):
                yield name, node.lineno
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name, node.lineno
            case ast.keyword(arg=str(name)):
                yield name, node.value.lineno
            case ast.alias(name=name, asname=alias):
                yield alias or name, node.lineno
            case _:
                pass


def banned(name: str) -> bool:
    """Whether a name contains a banned word. The names of tests are sentences."""
    return (
        not name.startswith("test_")
        and name not in RULES["allowed"]
        and any(word.lower() in RULES["words"] for word in _WORD.findall(name))
    )


def problems(file: Path) -> list[str]:
    """One line per banned name of a file."""
    found = dict.fromkeys((name, line) for name, line in identifiers(ast.parse(file.read_text())) if banned(name))
    return [f"{file.relative_to(HOME)}:{line}: {name} is not a term of the field" for name, line in found]


def main() -> int:
    files = [file for part in RULES["checked"] for file in sorted((HOME / part).rglob("*.py"))]
    lines = [line for file in files for line in problems(file)]
    print("\n".join(lines), end="\n" if lines else "")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
