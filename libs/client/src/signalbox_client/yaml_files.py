"""Definitions in YAML files: every value knows its line and column, so that a problem can name its place."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import yaml

MAX_FILE_BYTES: Final = 1_048_576
MAX_NODES: Final = 100_000
"""How many values a file may have, those of repeated anchors counted each time."""
Place = tuple[int, int]
"""Line and column, from 1."""


class InvalidFile(ValueError):
    """A file that cannot be read; the text begins with file, line and column."""


@dataclass
class Document:
    """One definition of a file."""

    file: str
    value: dict[str, Any]
    places: dict[tuple[str, ...], Place] = field(default_factory=dict[tuple[str, ...], Place])

    def place(self, path: str, words: str = "") -> str:
        """`file:line:column` of a field, or of the nearest above it; without a field, of the step that `words` name."""
        parts = tuple(path.split(".")) if path and path != "definition" else ()
        if not parts:
            parts = self._step_in(words)
        while parts and parts not in self.places:
            parts = parts[:-1]
        line, column = self.places.get(parts, (1, 1))
        return f"{self.file}:{line}:{column}"

    def _step_in(self, words: str) -> tuple[str, ...]:
        steps: Any = self.value.get("steps")
        for number, step in enumerate(cast("list[Any]", steps) if isinstance(steps, list) else []):
            if isinstance(step, dict) and f"'{cast('dict[str, Any]', step).get('id')}'" in words:
                return ("steps", str(number))
        return ()


def read_documents(file: str) -> list[Document]:
    """The definitions of a YAML or JSON file. Raises `InvalidFile`."""
    path = Path(file)
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InvalidFile(f"{file}: has {path.stat().st_size} bytes: at most {MAX_FILE_BYTES} are allowed")
        text = path.read_text()
    except OSError as error:
        raise InvalidFile(f"{file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InvalidFile(f"{file}: is not UTF-8 text") from None
    try:
        nodes = list(yaml.compose_all(text, yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file
        raise InvalidFile(f"{place}: {error.problem}") from None
    except yaml.YAMLError as error:
        raise InvalidFile(f"{file}: {error}") from None
    except RecursionError:
        raise InvalidFile(f"{file}: is nested too deeply") from None
    return [_document(file, node) for node in nodes]


def read_folder(names: list[str]) -> Iterator[Document]:
    """The definitions of these files, and of every `.yaml`, `.yml` and `.json` file of these folders."""
    for name in names:
        if not Path(name).is_dir():
            yield from read_documents(name)
            continue
        for file in sorted(Path(name).rglob("*")):
            if file.suffix in (".yaml", ".yml", ".json") and file.is_file():
                yield from read_documents(str(file))


def _document(file: str, node: Any) -> Document:
    if not isinstance(node, yaml.MappingNode):
        raise InvalidFile(f"{_place(file, node)}: a definition is a mapping")
    document = Document(file, {})
    value = _Reader(file, document.places).read(node, ())
    document.value = cast("dict[str, Any]", value)
    return document


def _place(file: str, node: Any) -> str:
    return f"{file}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"


class _Reader:
    """Turns nodes into values, and keeps the place of each."""

    def __init__(self, file: str, places: dict[tuple[str, ...], Place]) -> None:
        self._file = file
        self._places = places
        self._nodes = 0
        self._open: set[int] = set()
        self._scalars = yaml.SafeLoader("")

    def read(self, node: Any, path: tuple[str, ...]) -> Any:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise InvalidFile(f"{_place(self._file, node)}: more than {MAX_NODES} values: anchors repeat too much")
        self._places[path] = (node.start_mark.line + 1, node.start_mark.column + 1)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if id(node) in self._open:
            raise InvalidFile(f"{_place(self._file, node)}: an anchor contains itself")
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.read(part, (*path, str(number))) for number, part in enumerate(node.value)]
            return self._mapping(node, path)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: Any, path: tuple[str, ...]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise InvalidFile(f"{_place(self._file, key_node)}: a key must be a word")
            key = str(key_node.value)
            if key in found:
                raise InvalidFile(f"{_place(self._file, key_node)}: key {key!r} is there twice")
            found[key] = self.read(value_node, (*path, key))
        return found

    def _scalar(self, node: Any) -> Any:
        try:
            value: Any = self._scalars.construct_object(node)  # pyright: ignore[reportUnknownMemberType]
        except (yaml.YAMLError, ValueError) as error:
            raise InvalidFile(f"{_place(self._file, node)}: {str(error)[:200]}") from None
        return value.isoformat() if hasattr(value, "isoformat") else value
