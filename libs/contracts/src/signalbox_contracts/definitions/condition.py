"""Conditions of triggers: CEL over one event, bounded in time before it runs.

CEL always ends, but nested macros over large lists take long: three nested `all` over 120 elements took 1.2 s (measured
on two shared cores, one element about 3 µs). So the cost is bounded before evaluation, from the text and the event:
(largest collection) ^ (nesting of macros) × (number of macros) ≤ `MAX_STEPS`, about 10 ms. Where a macro works
on more than a plain path, each `+` of the condition may have appended the largest collection once more.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, cast

MAX_CONDITION_BYTES: Final = 1024
MAX_MACROS: Final = 10
MAX_NESTING: Final = 3
MAX_STEPS: Final = 3000
"""Element visits of one evaluation, about 10 ms."""
_MACRO: Final = re.compile(r"\.\s*(all|exists|exists_one|map|filter)\s*\(")
_COMMENT_OR_TEXT: Final = re.compile(
    r"""
    (?P<comment>//[^\r\n]*)
    |(?:[bB]?[rR]|[rR][bB])                                       # a raw text: nothing in it is escaped
        (?:\"{3}[\s\S]*?\"{3}|'{3}[\s\S]*?'{3}|"[^"\r\n]*"|'[^'\r\n]*')
    |\"{3}(?:\\[\s\S]|[^\\])*?\"{3}|'{3}(?:\\[\s\S]|[^\\])*?'{3}
    |"(?:\\.|[^"\\\r\n])*"|'(?:\\.|[^'\\\r\n])*'
    """,
    re.VERBOSE,
)
_PATH: Final = re.compile(r"(?<![\w)\]}.'])[A-Za-z_]\w*(?:\.\w+|\[(?:\d+|'')\])*$")
_NAMES: Final = frozenset({"event", "data"})


class InvalidCondition(ValueError):
    """The text is no condition; says what is wrong and what is allowed."""


class ConditionFailed(ValueError):
    """The condition could not be evaluated over this event; says why. The event does not match."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A compiled condition with its bounds."""

    text: str
    program: Any
    macros: int
    nesting: int
    appended: int

    def holds(self, event: Mapping[str, Any]) -> bool:
        """Whether the event meets the condition; `event` has the CloudEvents attributes and `data`.

        Raises `ConditionFailed` for a missing field, a type error, an answer that is not true or false, and an event
        too large for the condition's macros.
        """
        if self.macros:
            largest = max(_largest(event), self.text.count(",") + 1) * (self.appended + 1)
            steps = self.macros * largest**self.nesting
            if steps > MAX_STEPS:
                raise ConditionFailed(
                    f"the condition would visit up to {steps} elements of this event: at most {MAX_STEPS} are allowed"
                )
        try:
            result: object = self.program.execute({"event": dict(event), "data": event.get("data")})
        except Exception as error:  # the library raises KeyError, TypeError, RuntimeError, OverflowError and others
            raise ConditionFailed(f"{type(error).__name__}: {str(error)[:300]}") from None
        if not isinstance(result, bool):
            raise ConditionFailed(f"the condition gave {str(result)[:100]!r}: true or false is allowed")
        return result


@lru_cache(maxsize=2048)
def compile_condition(text: str) -> Condition:
    """Compile CEL; raises `InvalidCondition`. The variables are `event` and its `data`."""
    import cel  # with its own command line, a fifteenth of the start of a program that compiles none

    size = len(text.encode())
    if size > MAX_CONDITION_BYTES:
        raise InvalidCondition(f"has {size} bytes: a condition has at most {MAX_CONDITION_BYTES}")
    macros, nesting = _macros(text)
    if macros > MAX_MACROS or nesting > MAX_NESTING:
        raise InvalidCondition(
            f"has {macros} macros, {nesting} deep: at most {MAX_MACROS}, {MAX_NESTING} deep, are allowed"
        )
    try:
        program: Any = cel.compile(text)
        names = set(cast("list[str]", program.variables()))
    except Exception as error:  # ValueError for a syntax error, RuntimeError for nesting beyond the parser
        raise InvalidCondition(f"is not CEL: {str(error)[:300]}") from None
    unknown = sorted(names - _NAMES)
    if unknown and not macros:  # a macro's own variable counts as one
        raise InvalidCondition(f"names {', '.join(unknown[:5])}: only `event` and `data` are known")
    return Condition(text, program, macros, nesting, _appended(text))


def _bare(text: str) -> str:
    """The condition without its comments and without what its texts hold: only CEL's own words are left."""
    return _COMMENT_OR_TEXT.sub(lambda found: " " if found["comment"] else "''", text)


def _macros(text: str) -> tuple[int, int]:
    """How many macros the text has, and how deep they nest."""
    bare = _bare(text)
    starts = {match.end() - 1 for match in _MACRO.finditer(bare)}
    depth = deepest = 0
    opened: list[bool] = []
    for position, character in enumerate(bare):
        if character == "(":
            opened.append(position in starts)
            depth += opened[-1]
            deepest = max(deepest, depth)
        elif character == ")" and opened:
            depth -= opened.pop()
    return len(starts), deepest


def _appended(text: str) -> int:
    """How often lists may be appended to each other before a macro visits them."""
    bare = re.sub(r"\s+", "", _bare(text))
    is_plain = all(_PATH.search(bare, 0, match.start()) for match in _MACRO.finditer(bare))
    return 0 if is_plain else bare.count("+")


def _largest(value: object) -> int:
    """The number of entries of the largest list or mapping inside."""
    largest, waiting = 0, [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Mapping):
            entries = list(cast("Mapping[str, object]", one).values())
        elif isinstance(one, list):
            entries = cast("list[object]", one)
        else:
            continue
        largest = max(largest, len(entries))
        waiting += entries
    return largest
