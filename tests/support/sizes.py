"""`make sizes`: functions over 50 lines and modules over 400, longest first. A smell, not a rule."""

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FUNCTION_LINES, MODULE_LINES = 50, 400


@dataclass(frozen=True, order=True)
class Size:
    lines: int
    name: str
    """`path` of a module, `path:line function` of a function."""


def long_modules(files: dict[str, str]) -> list[Size]:
    sizes = [Size(len(text.splitlines()), path) for path, text in files.items()]
    return sorted((size for size in sizes if size.lines > MODULE_LINES), reverse=True)


def long_functions(files: dict[str, str]) -> list[Size]:
    sizes = [size for path, text in files.items() for size in _functions(path, ast.parse(text, path))]
    return sorted((size for size in sizes if size.lines > FUNCTION_LINES), reverse=True)


def _functions(path: str, within: ast.AST, outer: str = "") -> Iterator[Size]:
    for node in ast.iter_child_nodes(within):
        name = outer
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{outer}.{node.name}".lstrip(".")
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield Size((node.end_lineno or node.lineno) - node.lineno + 1, f"{path}:{node.lineno} {name}")
        yield from _functions(path, node, name)


def tracked(root: Path) -> dict[str, str]:
    """The text of each tracked Python file that is still there; where git is not, of each outside hidden folders."""
    if shutil.which("git") and (root / ".git").exists():
        listed = subprocess.run(["git", "ls-files", "-z", "*.py"], cwd=root, check=True, capture_output=True, text=True)
        paths = [path for path in listed.stdout.split("\0") if path and (root / path).is_file()]
    else:
        found = [path.relative_to(root) for path in root.rglob("*.py")]
        paths = [str(path) for path in found if not any(part.startswith(".") for part in path.parts)]
    return {path: (root / path).read_text(encoding="utf-8") for path in paths}


def main(root: Path) -> int:
    files = tracked(root)
    for what, limit, sizes in (
        ("functions", FUNCTION_LINES, long_functions(files)),
        ("modules", MODULE_LINES, long_modules(files)),
    ):
        print(f"{len(sizes)} {what} over {limit} lines" + (":" if sizes else ""))
        for size in sizes:
            print(f"{size.lines:6} {size.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(__file__).parents[2]))
