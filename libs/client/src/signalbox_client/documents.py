"""Files people write: JSON, or YAML 1.2 with the types of JSON. Every problem is one line with file and line."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final, cast

MAX_DEPTH: Final = 64
"""Levels of lists and objects, as the API allows."""
MAX_VALUES: Final = 1_000_000
"""How many values a document may have, those of repeated anchors counted each time."""
MAX_INTEGER: Final = 10**308
"""Larger ones are no numbers of JSON for most readers."""
MAX_YAML_IN_BRACES: Final = 100_000
"""Characters: reading YAML takes a thousand times longer, and a long text in braces is JSON with a mistake in it."""
_NUMBER_TAGS: Final = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_NO_NUMBER: Final = re.compile("_|^[-+]?0b")
"""In words that ruamel.yaml takes for numbers, and the core schema of YAML 1.2 does not: `1_000`, `0b1`."""
_TEXT_TAGS: Final = ("tag:yaml.org,2002:timestamp",)
_LIKE_JSON: Final = re.compile(r"\s*\{\s*[\"}]")
"""An object whose first name is in quotes."""


class InvalidDocument(ValueError):
    """The text is not a document; the message says where."""


def parse(text: str) -> dict[str, Any]:
    """The object a text holds. Raises `InvalidDocument`."""
    found = _braces(text) if text.lstrip().startswith("{") else _yaml(text)
    if not isinstance(found, dict):
        raise InvalidDocument("must hold one object")
    return cast("dict[str, Any]", _plain(found, (), "", iter(range(MAX_VALUES))))


def _braces(text: str) -> Any:
    """JSON, or an object of YAML in braces; the error of what is neither is that of JSON if it begins like it."""
    try:
        return _json(text)
    except InvalidDocument:
        try:
            if len(text) <= MAX_YAML_IN_BRACES:
                return _yaml(text)
        except InvalidDocument:
            if not _LIKE_JSON.match(text):
                raise
        raise


def _json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        raise InvalidDocument(f"line {error.lineno}: {error.msg}") from None
    except RecursionError:
        raise InvalidDocument("is nested too deeply") from None
    except InvalidDocument:
        raise
    except ValueError:  # Python reads numbers of 4,300 digits
        raise InvalidDocument("a number has too many digits") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        counts = Counter(name for name, _ in pairs)
        raise InvalidDocument(f"{next(name for name in counts if counts[name] > 1)} is given more than once")
    return made


def _as_text(constructor: Any, node: Any) -> str:
    return str(constructor.construct_scalar(node))


def _as_number(construct: Any) -> Any:
    """Construct a number of the core schema; another word stays the text it is."""

    def constructed(constructor: Any, node: Any) -> Any:
        text = _as_text(constructor, node)
        return text if _NO_NUMBER.search(text) else construct(constructor, node)

    return constructed


def _yaml(text: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    loader: Any = YAML(typ="safe", pure=True)
    known = loader.constructor.yaml_constructors
    loader.constructor.yaml_constructors = {
        **known,
        **dict.fromkeys(_TEXT_TAGS, _as_text),  # a date stays the text it is
        **{tag: _as_number(known[tag]) for tag in _NUMBER_TAGS},
    }
    try:
        return loader.load(text)
    except MarkedYAMLError as error:
        marked: Any = error
        mark = marked.problem_mark or marked.context_mark
        place = f"line {mark.line + 1}: " if mark is not None else ""
        raise InvalidDocument(f"{place}{error.problem or error.context}") from None
    except (YAMLError, ValueError, TypeError) as error:
        raise InvalidDocument(str(error).splitlines()[0]) from None
    except (LookupError, AttributeError):  # ruamel.yaml, of `!!bool maybe` and `!!int ""`
        raise InvalidDocument("a value is not what its tag says") from None
    except RecursionError:
        raise InvalidDocument("is nested too deeply") from None


def _plain(value: Any, above: tuple[int, ...], place: str, left: Iterator[int]) -> Any:
    """The same value with the types of JSON; refuses what JSON does not have. `left` has an entry for each value."""
    if next(left, None) is None:
        raise InvalidDocument(f"{place}: more than {MAX_VALUES} values: anchors repeat too much")
    if isinstance(value, dict | list):
        if id(cast("Any", value)) in above:
            raise InvalidDocument(f"{place}: an anchor that contains itself")
        if len(above) >= MAX_DEPTH:
            raise InvalidDocument(f"{place}: at most {MAX_DEPTH} levels are allowed")
        inside = (*above, id(cast("Any", value)))
        if isinstance(value, list):
            return [_plain(one, inside, f"{place}.{n}", left) for n, one in enumerate(cast("list[Any]", value))]
        fields = cast("dict[Any, Any]", value)
        pairs = [
            (_name(name, place), _plain(one, inside, f"{place}.{name}".lstrip("."), left))
            for name, one in fields.items()
        ]
        return _unique(pairs)  # 1 and "1" are one name in JSON
    if isinstance(value, int) and abs(value) >= MAX_INTEGER:
        raise InvalidDocument(f"{place}: a number has too many digits")
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float) and value == value and abs(value) != float("inf"):
        return value
    raise InvalidDocument(f"{place}: {type(value).__name__} is not allowed: text, numbers, true, false and null are")


def _name(name: Any, place: str) -> str:
    if isinstance(name, bool):
        return "true" if name else "false"
    if isinstance(name, str | int | float):
        return str(name)
    raise InvalidDocument(f"{place or 'the document'}: {type(name).__name__} is not allowed as the name of a field")
