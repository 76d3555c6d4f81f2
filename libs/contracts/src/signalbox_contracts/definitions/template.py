"""Templates in definitions: Jinja2's sandbox, with four names and no machinery.

A template is an expression in `{{ … }}`: of `params`, `steps.<id>.result`, `event_date` and `run`, with filters and
conditions. It has no statements and no comments, so `{% … %}` and `{# … #}` are plain text.
Everything is checked when the definition is saved, so that a plan does not fail at step nine over a typing error.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, lru_cache, wraps
from math import isfinite
from typing import Any, Final

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, nodes
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from signalbox_contracts.definitions.secrets import secret_refs

NAMES: Final = frozenset({"params", "steps", "event_date", "run"})
TEMPLATE_CHARACTERS: Final = 16_384
RENDERED_CHARACTERS: Final = 65_536
MAX_LIST_ITEMS: Final = 10_000
"""Items of a list that a template makes: as many as a pipeline has tasks."""
MAX_PRECISION: Final = 308
"""Digits that `round` keeps: Jinja's own computes 10 to the power of them, and nothing ends that."""

FILTERS: Final = frozenset(
    {"abs", "default", "d", "float", "int", "join", "length", "count", "lower", "upper", "replace", "round", "string"}
    | {"tojson", "trim", "first", "last", "title", "capitalize", "sort", "unique", "urlencode", "min", "max"}
)
_SLICE: Final = "[:]"
"""The filter that `a[1:2]` becomes; nobody can write this name."""
_MAKE_TEXT: Final = ("lower", "upper", "string", "trim", "title", "capitalize", "urlencode")
_MAKE_LISTS: Final = ("sort", "unique")
_REFUSED: Final = {
    nodes.Call: "calls are",
    nodes.Mul: "multiplication is",  # 'x' * 10**9 would fill the memory before a size could be measured
    nodes.Pow: "powers are",
    nodes.Mod: "the % operator is",  # '%999999999d' % 1, likewise
}


_NEVER: Final = "\0%"
"""Delimiters of statements and comments, which our templates do not have: `{#` in `${#list}` is plain text."""


class InvalidTemplate(ValueError):
    """The template is not allowed, or cannot be rendered; the text says where and what is allowed."""


class _BoundedOperators(NodeTransformer):
    """`a ~ b` as the filter `join`, and `a[1:2]` as a filter: what Jinja makes of these operators is not bounded."""

    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:  # noqa: N802 - Jinja finds it by this name
        self.generic_visit(node)
        return nodes.Filter(nodes.List(node.nodes), "join", [], [], None, None, lineno=node.lineno)

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Expr:  # noqa: N802 - likewise
        self.generic_visit(node)
        if not isinstance(node.arg, nodes.Slice):
            return node
        places = [place or nodes.Const(None) for place in (node.arg.start, node.arg.stop, node.arg.step)]
        return nodes.Filter(node.node, _SLICE, places, [], None, None, lineno=node.lineno)


class _Sandbox(ImmutableSandboxedEnvironment):
    """No globals, and only operators and filters that measure what they are given before they make more of it.

    INVARIANT a text of more than `RENDERED_CHARACTERS` goes into no operation, and none of them makes it more than ten
    times as long. Without that, `x|tojson` thirty times in a row is a gigabyte: each doubles the backslashes.
    """

    intercepted_binops = frozenset({"+"})

    def __init__(self) -> None:
        super().__init__(
            undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True, block_start_string=_NEVER,
            block_end_string=_NEVER, comment_start_string=_NEVER + "#", comment_end_string=_NEVER + "#",
            finalize=_measured,
            optimized=False,  # Jinja's optimizer takes 25 s of a processor for 300 filters in a row
        )  # fmt: skip
        self.globals.clear()
        allowed: dict[str, Any] = {name: self.filters[name] for name in FILTERS}
        allowed["round"] = _bounded_round(self.filters["round"])
        allowed.update(replace=_replace, join=_join)  # Jinja's own may grow text without end
        allowed.update({name: _bounded_text(allowed[name]) for name in _MAKE_TEXT}, tojson=_bounded_text(_tojson))
        allowed.update({name: _bounded_list(allowed[name]) for name in _MAKE_LISTS})
        self.filters = {**allowed, _SLICE: _slice}

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """The sum of two numbers, texts or lists."""
        if isinstance(left, str) and isinstance(right, str):
            _refuse_over(len(left) + len(right))
        if isinstance(left, list) and isinstance(right, list):
            _refuse_more_items(len(left) + len(right))  # pyright: ignore[reportUnknownArgumentType]
        return super().call_binop(context, operator, left, right)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree: nodes.Template = _BoundedOperators().visit(super()._parse(source, name, filename))
        tree.set_environment(self)
        return tree


@cache
def _sandbox() -> _Sandbox:
    return _Sandbox()


def is_template(text: str) -> bool:
    """Whether rendering could change the text."""
    return "{{" in text


@lru_cache(maxsize=4096)
def check_template(
    text: str,
    *,
    params: frozenset[str] | None = None,
    steps: frozenset[str] | None = frozenset(),
    names: frozenset[str] = NAMES,
) -> None:
    """Refuse (`InvalidTemplate`) what is not allowed, or names a parameter or step that will not be there.

    `params` are the declared parameters, `steps` those whose result is known when this is rendered; `None` means any.
    """
    try:
        _check_tree(_parsed(text), params, steps, names)
    except RecursionError:
        raise InvalidTemplate("is nested too deeply") from None


def _check_tree(
    tree: nodes.Template, params: frozenset[str] | None, steps: frozenset[str] | None, names: frozenset[str]
) -> None:
    for node in tree.find_all(tuple(_REFUSED)):
        raise InvalidTemplate(f"line {node.lineno}: {_REFUSED[type(node)]} not allowed in a template")
    for number in tree.find_all(nodes.Const):
        if isinstance(number.value, float) and not isfinite(number.value):
            raise InvalidTemplate(f"line {number.lineno}: a number is too large")
    for used in tree.find_all(nodes.Filter):
        if used.name not in FILTERS | {_SLICE}:
            raise InvalidTemplate(
                f"line {used.lineno}: filter {used.name!r} is not allowed: {', '.join(sorted(FILTERS))}"
            )
    for read in tree.find_all((nodes.Getattr, nodes.Getitem)):
        if _part(read).startswith("__"):
            raise InvalidTemplate(f"line {read.lineno}: {_part(read)!r} is not allowed in a template")
    for name in tree.find_all(nodes.Name):
        if name.name not in names:
            raise InvalidTemplate(
                f"line {name.lineno}: {name.name!r} is not known: allowed are {', '.join(sorted(names))}"
            )
    for place, parts in _paths(tree):
        _check_path(place, parts, params, steps)


def render(text: str, values: Mapping[str, Any], names: frozenset[str] = NAMES) -> str:
    """The text with its values; raises `InvalidTemplate` for a missing value or a result that is too long."""
    if not is_template(text):
        return text
    try:
        rendered = _bounded(_compiled(text, names).generate(dict(values)))
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        if isinstance(error, InvalidTemplate):
            raise
        raise InvalidTemplate(f"cannot be rendered: {str(error)[:300]}") from None
    except (RecursionError, SyntaxError):  # Python's own limits on what Jinja makes of it
        raise InvalidTemplate("is nested too deeply") from None
    if brought := secret_refs(rendered) - secret_refs(text):
        raise InvalidTemplate(
            f"a value brings a reference to secret {min(brought)!r}: only the definition itself may have one"
        )
    return rendered


@lru_cache(maxsize=1024)
def _compiled(text: str, names: frozenset[str]) -> Template:
    """Checking and compiling takes a millisecond; many tasks share their templates."""
    check_template(text, steps=None, names=names)
    return _sandbox().from_string(text)


def used_steps(text: str) -> frozenset[str]:
    """The steps whose results a template uses."""
    return _used(text, "steps")


def used_params(text: str) -> frozenset[str]:
    """The parameters that a template uses; `?` stands for any of them."""
    return _used(text, "params")


def _used(text: str, name: str) -> frozenset[str]:
    if not is_template(text):
        return frozenset()
    return frozenset(path[1] if len(path) > 1 else "?" for _, path in _paths(_parsed(text)) if path[0] == name)


def render_all(value: Any, values: Mapping[str, Any]) -> Any:
    """The same JSON value with every text in it rendered; keys stay as they are."""
    return replace_texts(value, lambda _, text: render(text, values))


def replace_texts(value: Any, replace: Callable[[str, str], str], place: str = "") -> Any:
    """The same JSON value with other texts, each made by `replace` from its place (`work.arguments.0`) and itself."""
    if isinstance(value, str):
        return replace(place, value)
    if isinstance(value, Mapping):
        return {key: replace_texts(part, replace, f"{place}.{key}") for key, part in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list | tuple):
        return [replace_texts(part, replace, f"{place}.{n}") for n, part in enumerate(value)]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return value


def texts(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a JSON value that may be a template, with its place (`work.arguments.0`)."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, Mapping):
        for key, part in value.items():  # pyright: ignore[reportUnknownVariableType]
            yield from texts(part, f"{place}.{key}")
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
            yield from texts(part, f"{place}.{index}")


def _measured(value: object) -> object:
    """The value; raises `InvalidTemplate` if its text would be too long, before that text is made."""
    size, rest = 0, [value]
    while rest:
        part = rest.pop()
        if isinstance(part, Mapping):
            size += 2
            rest += [*part.keys(), *part.values()]  # pyright: ignore[reportUnknownArgumentType]
        elif isinstance(part, list | tuple):
            size += 2
            rest += part
        else:
            size += max(1, len(part if isinstance(part, str) else str(part)))
        _refuse_over(size)
    return value


def _bounded_text(make: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that measures what it is given, and what it makes."""

    @wraps(make)
    def bounded(*values: object, **named: object) -> object:
        for value in (*values, *named.values()):
            _measured(value)
        return _measured(make(*values, **named))

    return bounded


def _bounded_list(make: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that makes a list as long as the one it is given."""

    @wraps(make)
    def bounded(*values: object, **named: object) -> object:
        for value in values:
            if isinstance(value, list | tuple):
                _refuse_more_items(len(value))  # pyright: ignore[reportUnknownArgumentType]
        return make(*values, **named)

    return bounded


def _replace(text: object, old: str, new: str) -> str:
    source = str(_measured(text))
    _refuse_over(len(source) + source.count(old) * len(new))
    return source.replace(old, new)


def _join(parts: Iterable[object], between: str = "") -> str:
    parts_of_text: list[str] = []
    size = 0
    for part in parts:
        parts_of_text.append(str(_measured(part)))
        size += len(parts_of_text[-1]) + (len(between) if size else 0)
        _refuse_over(size)
    return between.join(parts_of_text)


def _slice(value: Any, start: object, stop: object, step: object) -> Any:
    part = value[start:stop:step]
    if isinstance(part, str):
        _refuse_over(len(part))
    else:
        _refuse_more_items(len(part))
    return part


def _tojson(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _bounded_round(jinja_round: Callable[..., Any]) -> Callable[..., Any]:
    def bounded(value: float, precision: int = 0, method: str = "common") -> Any:
        if abs(precision) > MAX_PRECISION:
            raise InvalidTemplate(f"round to {precision} digits: at most {MAX_PRECISION} are allowed")
        return jinja_round(value, precision, method)

    return bounded


def _refuse_over(size: int) -> None:
    if size > RENDERED_CHARACTERS:
        raise InvalidTemplate(f"renders to more than {RENDERED_CHARACTERS} characters")


def _refuse_more_items(count: int) -> None:
    if count > MAX_LIST_ITEMS:
        raise InvalidTemplate(f"makes a list of {count} items: at most {MAX_LIST_ITEMS} are allowed")


def _bounded(pieces: Iterator[str]) -> str:
    parts_of_text: list[str] = []
    size = 0
    for piece in pieces:
        size += len(piece)
        _refuse_over(size)
        parts_of_text.append(piece)
    return "".join(parts_of_text)


def _parsed(text: str) -> nodes.Template:
    if len(text) > TEMPLATE_CHARACTERS:
        raise InvalidTemplate(f"has {len(text)} characters: at most {TEMPLATE_CHARACTERS} are allowed")
    try:
        return _sandbox().parse(text)
    except TemplateSyntaxError as error:
        raise InvalidTemplate(f"line {error.lineno}: {error.message}") from None
    except RecursionError:
        raise InvalidTemplate("is nested too deeply") from None
    except ValueError as error:  # a number of more digits than Python reads
        raise InvalidTemplate(str(error)[:300]) from None


def _paths(tree: nodes.Template) -> Iterator[tuple[int, tuple[str, ...]]]:
    """The longest dotted paths: `steps.load.result.rows` once, not its beginnings as well."""
    inner: set[int] = set()
    for node in tree.find_all((nodes.Getattr, nodes.Getitem)):
        if id(node) in inner:
            continue
        parts: list[str] = []
        place: nodes.Node = node
        while isinstance(place, nodes.Getattr | nodes.Getitem):
            inner.add(id(place))
            parts.append(_part(place))
            place = place.node
        if isinstance(place, nodes.Name):
            inner.add(id(place))
            yield place.lineno, (place.name, *reversed(parts))
    for name in tree.find_all(nodes.Name):
        if id(name) not in inner:
            yield name.lineno, (name.name,)


def _part(node: nodes.Getattr | nodes.Getitem) -> str:
    if isinstance(node, nodes.Getattr):
        return node.attr
    return str(node.arg.value) if isinstance(node.arg, nodes.Const) else "?"


def _check_path(line: int, path: tuple[str, ...], params: frozenset[str] | None, steps: frozenset[str] | None) -> None:
    parts_of_text = ".".join(path)
    if path[0] == "steps":
        if len(path) < 3 or path[2] != "result":
            raise InvalidTemplate(f"line {line}: {parts_of_text!r} is not allowed: say steps.<id>.result")
        if steps is not None and path[1] not in steps:
            allowed = f"allowed are {', '.join(sorted(steps))}" if steps else "it waits for none"
            raise InvalidTemplate(f"line {line}: step {path[1]!r} is not one this step waits for: {allowed}")
    if path[0] == "params" and params is not None and len(path) > 1 and path[1] not in params:
        allowed = f"allowed are {', '.join(sorted(params))}" if params else "there are no parameters"
        raise InvalidTemplate(f"line {line}: parameter {path[1]!r} is not declared: {allowed}")
