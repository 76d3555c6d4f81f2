"""What commands print: data on stdout in the form that was asked for, everything else on stderr."""

import codecs
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

Row = Mapping[str, Any]
Column = tuple[str, "str | Callable[[Row], Any]"]
FORMATS: Final = ("table", "json", "jsonl", "yaml", "name")
# an engine's log or a name of somebody else's may hold sequences that move the cursor, or change the title
_CONTROL: Final = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]?"  # a command, complete or cut off
    r"|\x1b[PX\]^_][^\x00-\x1f\x7f-\x9f]*(?:\x07|\x1b\\|\x9c)?"  # a text for the terminal: it ends with its line
    r"|\x1b[ -/]*[0-~]"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)
_decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
STATES: Final = {
    "SUCCEEDED": ("✓", 32), "COMPLETED_WITH_ERRORS": ("!", 33), "FAILED": ("✗", 31), "REFUSED": ("✗", 31),
    "RESOLVING": ("◌", 36), "PREVIEWED": ("◇", 36), "AWAITING_APPROVAL": ("◈", 33),
    "CANCELLED": ("⊘", 90), "CANCELLING": ("⊘", 33), "RUNNING": ("●", 36), "SUBMITTING": ("◐", 36),
    "CLAIMED": ("◔", 36), "QUEUED": ("○", 90), "ACCEPTED": ("○", 90), "PAUSED": ("‖", 33), "UNKNOWN": ("?", 35),
}  # fmt: skip
"""Icon and colour of a state; the word always stands beside them."""


class Styled(str):
    """Text with colours of this module's own: a table prints it as it is."""


def plain(text: object) -> str:
    """Without control sequences; line ends and tabs stay."""
    return _CONTROL.sub("", str(text))


def colourful(stream: Any = None) -> bool:
    return (stream or sys.stdout).isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def echo(text: str) -> None:
    """Talk: to stderr, so that it never mixes with data, and without control sequences."""
    print(plain(text), file=sys.stderr)


def write_through(chunk: bytes) -> None:
    """Write bytes as they came, but on a terminal without anything that could steer it."""
    if sys.stdout.isatty():
        sys.stdout.write(plain(_decoder.decode(chunk)))
    else:
        sys.stdout.buffer.write(chunk)
    sys.stdout.flush()


def state(word: object) -> Styled:
    """A state as icon and word, coloured on a terminal."""
    name = plain(word)
    icon, colour = STATES.get(name, ("·", 0))
    return Styled(f"\x1b[{colour}m{icon} {name}\x1b[0m" if colour and colourful() else f"{icon} {name}")


def ago(instant: object) -> str:
    """How long ago an instant was: `4 m`; empty for none."""
    if not instant:
        return ""
    seconds = (datetime.now(UTC) - datetime.fromisoformat(str(instant))).total_seconds()
    if seconds < 0:
        return f"in {_span(-seconds)}"
    return _span(seconds)


def took(start: object, end: object) -> str:
    """From one instant to another, or to now."""
    if not start:
        return ""
    until = datetime.fromisoformat(str(end)) if end else datetime.now(UTC)
    return _span(max(0.0, (until - datetime.fromisoformat(str(start))).total_seconds()))


def attempt_of(found: Any) -> str:
    """Which attempt of how many: attempts that the infrastructure lost do not use up those of the user."""
    return f"{found['attempt']}/{found['max_attempts'] + found['infrastructure_faults']}"


def _span(seconds: float) -> str:
    for size, word in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds / size:.0f} {word}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def cut(text: str, width: int) -> str:
    """At most this many characters of a line, so that it can be redrawn; colours go when it is cut."""
    bare = _bare(text)
    return text if len(bare) <= width else f"{bare[: width - 1]}…"


def rows(found: Iterable[Row], form: str, columns: Sequence[Column], *, name: str = "id", empty: str = "none") -> None:
    """A list in the form that was asked for. `empty` is said, on stderr, when there is nothing."""
    if form == "jsonl":
        for one in found:
            print(json.dumps(one), flush=True)
        return
    everything = list(found)
    if form == "json":
        print(json.dumps(everything, indent=2))
    elif form == "yaml":
        print(_yaml(everything), end="")
    elif form == "name":
        for one in everything:
            print(plain(one.get(name, "")))
    elif everything:
        table([title for title, _ in columns], [[_cell(one, get) for _, get in columns] for one in everything])
    if not everything and form == "table":
        echo(empty)


def one(found: Row, form: str, fields: Sequence[Column], *, name: str = "id") -> None:
    """One thing: a line a field, or the whole in the form that was asked for."""
    if form == "json":
        print(json.dumps(found, indent=2))
    elif form == "jsonl":
        print(json.dumps(found))
    elif form == "yaml":
        print(_yaml(found), end="")
    elif form == "name":
        print(plain(found.get(name, "")))
    else:
        shown = [(title, text) for title, get in fields if (text := _cell(found, get)) != ""]
        width = max((len(title) for title, _ in shown), default=0)
        for title, text in shown:
            lines = text.replace("\n", "\n" + " " * (width + 2))
            print(f"{title.ljust(width)}  {lines}")


def table(titles: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """Aligned columns without borders."""
    widths = [max(len(_bare(line[n])) for line in [titles, *lines]) for n in range(len(titles))]
    for line in [titles, *lines]:
        cells = [text + " " * (width - len(_bare(text))) for text, width in zip(line, widths, strict=True)]
        print("  ".join(cells).rstrip())


def _cell(row: Row, get: "str | Callable[[Row], Any]") -> str:
    value = get(row) if callable(get) else _field(row, get)
    if value is None:
        return ""
    if isinstance(value, dict | list):
        return plain(json.dumps(value))
    if callable(get):
        return value if isinstance(value, Styled) else plain(value)
    return plain(value).replace("\n", " ")


def _field(row: Row, path: str) -> Any:
    """A field, or one inside of others: `counts.total`."""
    value: Any = row
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return value  # pyright: ignore[reportUnknownVariableType]


def _bare(text: str) -> str:
    return _CONTROL.sub("", text)


def _yaml(value: Any) -> str:
    import yaml  # slow to import, and rarely wanted

    every_letter = (sys.stdout.encoding or "").lower().startswith("utf")
    bare = json.loads(json.dumps(value))  # PyYAML refuses classes of our own
    return yaml.safe_dump(bare, sort_keys=False, allow_unicode=every_letter)
