"""Definitions in YAML files: every value knows its line and column, so that a problem can name its place.

Values have the types of YAML 1.2's core schema: `yes`, `012` and `2026-03-31` are texts or numbers as they look.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, ClassVar, Final, cast

import yaml
from yaml.reader import ReaderError

from signalbox_client import documents

MAX_FILE_BYTES: Final = 1_048_576
MAX_DEPTH: Final = 64
"""Levels of lists and mappings, as the API allows."""
MAX_NODES: Final = 100_000
"""How many values a file may have, those of repeated anchors counted each time."""
Place = tuple[int, int]
"""Line and column, from 1."""


LINE: Final = "\n"
_SURROGATES: Final = re.compile(r"\\\\|(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})")
"""Two backslashes, which are none before a `u`, or the halves of one character."""
_MERGE: Final = "tag:yaml.org,2002:merge"
_CORE: Final = (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf)|\.(nan|NaN)", "-+.0123456789"),
    ("merge", r"<<", "<"),
)  # fmt: skip
"""Which plain words are not text: the core schema of YAML 1.2, and merge keys."""


class _Loader(yaml.SafeLoader):
    """PyYAML reads YAML 1.1, where `no`, `012` and `12:30` mean something else than they do in JSON."""

    yaml_implicit_resolvers: ClassVar[dict[Any, Any]] = {}  # pyright: ignore[reportIncompatibleVariableOverride]

    def construct_int(self, node: Any) -> int:
        text = str(self.construct_scalar(node))
        return int(text, 0 if text.lower().startswith(("0x", "0o")) else 10)


for _name, _pattern, _first in _CORE:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(f"^(?:{_pattern})$"), list(_first))
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_int)


class InvalidFile(ValueError):
    """A file that cannot be read; the text begins with file, line and column."""

    def __init__(self, text: str, *, field: str = "", step: str = "") -> None:
        super().__init__(text)
        self.field = field
        self.step = step


@dataclass
class Document:
    """One definition of a file."""

    file: str
    value: dict[str, Any]
    places: dict[tuple[str, ...], Place] = field(default_factory=dict[tuple[str, ...], Place])

    def place(self, path: str) -> str:
        """`file:line:column` of a field, or of the nearest one above it."""
        found: tuple[str, ...] = ()
        for part in path.split("."):
            if (*found, part) in self.places:  # a part that is not there is the kind of the work: work.process.argv
                found = (*found, part)
        line, column = self.places.get(found, (1, 1))
        return f"{self.file}:{line}:{column}"

    def step(self, path: str) -> str:
        """The id of the step that a field is in; empty outside of steps."""
        parts = path.split(".")
        steps: Any = self.value.get("steps")
        if parts[0] != "steps" or len(parts) < 2 or not isinstance(steps, list) or not parts[1].isdigit():
            return ""
        found = cast("list[Any]", steps)[int(parts[1]) :][:1]
        return str(cast("dict[str, Any]", found[0]).get("id", "")) if found and isinstance(found[0], dict) else ""


def read_documents(file: str) -> list[Document]:
    """The definitions of a YAML or JSON file. Raises `InvalidFile`."""
    path = Path(file)
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InvalidFile(f"{file}: has {path.stat().st_size} bytes: at most {MAX_FILE_BYTES} are allowed")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidFile(f"{file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InvalidFile(f"{file}: is not UTF-8 text") from None
    text = _as_yaml(text)
    try:
        nodes = list(yaml.compose_all(text, _Loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file
        raise InvalidFile(f"{place}: {error.problem}") from None
    except ReaderError as error:
        before = text[: error.position]
        place = f"{file}:{before.count(LINE) + 1}:{error.position - before.rfind(LINE)}"
        raise InvalidFile(f"{place}: the character U+{ord(text[error.position]):04X} is not allowed") from None
    except RecursionError:
        raise InvalidFile(f"{_too_deep(file, text)}: is nested too deeply: {MAX_DEPTH} levels are allowed") from None
    return [_document(file, node) for node in nodes]


def _as_yaml(text: str) -> str:
    """JSON in the form that PyYAML reads: without tabs between values, and with each emoji as one character."""
    if not text.lstrip().startswith("{"):
        return text
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text
    return _SURROGATES.sub(lambda found: json.loads(f'"{found[0]}"') if found[1] else found[0], text.replace("\t", " "))


def files_of(names: list[str]) -> Iterator[str]:
    """These files, and every `.yaml`, `.yml` and `.json` file of these folders."""
    for name in names:
        if not Path(name).is_dir():
            yield name
            continue
        for file in sorted(Path(name).rglob("*")):
            if file.suffix in (".yaml", ".yml", ".json") and file.is_file():
                yield str(file)


def _too_deep(file: str, text: str) -> str:
    """The place of the first value below the deepest level that is allowed."""
    depth = 0
    for event in yaml.parse(text, _Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            return _place(file, event)
    return file


def _document(file: str, node: Any) -> Document:
    if not isinstance(node, yaml.MappingNode):
        raise InvalidFile(f"{_place(file, node)}: a definition is a mapping")
    document = Document(file, {})
    value = _Reader(file, document.places).read(node, ())
    document.value = cast("dict[str, Any]", value)
    return document


def _place(file: str, node: Any) -> str:
    return f"{file}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"


def _id_of(node: Any) -> str:
    """The id of a step that was not read yet."""
    pairs: list[Any] = node.value if isinstance(node, yaml.MappingNode) else []
    return next((str(value.value)[:64] for key, value in pairs if key.value == "id"), "")


class _Reader:
    """Turns nodes into values, and keeps the place of each."""

    def __init__(self, file: str, places: dict[tuple[str, ...], Place]) -> None:
        self._file = file
        self._places = places
        self._nodes = 0
        self._open: set[int] = set()
        self._step = ""
        """The id of the step that is read."""
        self._scalars = _Loader("")

    def read(self, node: Any, path: tuple[str, ...]) -> Any:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise self._invalid(node, path, f"more than {MAX_NODES} values: anchors repeat too much")
        if len(path) > MAX_DEPTH:
            raise self._invalid(node, path, f"is nested too deeply: {MAX_DEPTH} levels are allowed")
        if len(path) == 2 and path[0] == "steps":
            self._step = _id_of(node)
        self._places[path] = (node.start_mark.line + 1, node.start_mark.column + 1)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if id(node) in self._open:
            raise self._invalid(node, path, "an anchor contains itself")
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.read(part, (*path, str(number))) for number, part in enumerate(node.value)]
            return self._mapping(node, path)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: Any, path: tuple[str, ...]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise self._invalid(key_node, path, "a key must be a word")
            if key_node.tag == _MERGE:
                merged |= self._merged(value_node, path)
                continue
            key = str(key_node.value)
            if key in found:
                raise self._invalid(key_node, (*path, key), f"key {key!r} is there twice")
            found[key] = self.read(value_node, (*path, key))
        return {**merged, **found}

    def _merged(self, node: Any, path: tuple[str, ...]) -> dict[str, Any]:
        """The fields that `<<: *anchor` brings; of a list, an earlier entry wins."""
        parts: list[Any] = node.value if isinstance(node, yaml.SequenceNode) else [node]
        found: dict[str, Any] = {}
        for part in parts:
            if not isinstance(part, yaml.MappingNode):
                raise self._invalid(part, path, "<< merges mappings")
            found = {**cast("dict[str, Any]", self.read(part, path)), **found}
        return found

    def _scalar(self, node: Any, path: tuple[str, ...]) -> Any:
        try:
            value: Any = self._scalars.construct_object(node)  # pyright: ignore[reportUnknownMemberType]
        except yaml.MarkedYAMLError as error:
            raise self._invalid(node, path, str(error.problem)[:200]) from None
        except ValueError:  # a date that is none, or more digits than Python reads
            raise self._invalid(node, path, f"{node.value[:100]!r} is not what its tag says") from None
        except (LookupError, AttributeError, TypeError):  # PyYAML, of a word that is not what its tag says
            raise self._invalid(node, path, f"{node.value!r} is not what its tag says") from None
        if not isinstance(value, str | int | float | None):
            kind = type(value).__name__
            raise self._invalid(node, path, f"{kind} is not allowed: text, numbers, true, false and null are")
        if (isinstance(value, float) and not isfinite(value)) or (
            isinstance(value, int) and abs(value) >= documents.MAX_INTEGER
        ):
            raise self._invalid(node, path, f"{node.value[:100]} is not a number of JSON")
        return value

    def _invalid(self, node: Any, path: tuple[str, ...], words: str) -> InvalidFile:
        step = self._step if path[:1] == ("steps",) else ""
        return InvalidFile(f"{_place(self._file, node)}: {words}", field=".".join(path), step=step)
