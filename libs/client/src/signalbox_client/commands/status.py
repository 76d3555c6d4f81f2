"""`signalbox status`, `trace`, `whoami`: how everything is."""

from typing import Any, cast

from signalbox_client import waterfall
from signalbox_client.api import place
from signalbox_client.commands.freezes import banner
from signalbox_client.inputs import Form, api
from signalbox_client.output import Column, ago, one, plain, rows, table

GROUPS: tuple[Column, ...] = (("group", "group"), ("members", "members"), ("behind", "lag"))
ENGINES: tuple[Column, ...] = (
    ("engine", "engine_id"), ("intake", "intake"), ("breaker", "breaker"),
    ("slots", lambda found: f"{found['slots_used']}/{found['slots']}"), ("queued", "queued"), ("unknown", "unknown"),
    ("last answer", lambda found: ago(found["last_answer_at"])), ("last error", "last_error"),
)  # fmt: skip
TROUBLES: tuple[Column, ...] = (
    ("service", "service"), ("keeps failing", "part"), ("reason", "reason"), ("seen", lambda found: ago(found["at"])),
)  # fmt: skip
RESTATED: tuple[Column, ...] = (
    ("service", "service"), ("restated", "times"), ("last", "last"), ("seen", lambda found: ago(found["at"])),
)  # fmt: skip
UNREADABLE: tuple[Column, ...] = (
    ("cannot be read", lambda found: f"{found['kind']} {found['id']}"), ("revision", "revision"), ("reason", "reason"),
)  # fmt: skip
ME: tuple[Column, ...] = (
    ("name", "name"), ("token", "token_id"), ("may", lambda found: ", ".join(found["permissions"])),
    ("until", "expires_at"),
)  # fmt: skip


def status(output: Form = "table") -> None:
    """Show the state of all services: consumers, waiting work, parked messages."""
    state = api().get("/status")
    if output != "table":
        one(state, output, ())
        return
    for freeze in state.get("freezes") or ():
        print(plain(banner(freeze)))
    lines = [[name, _part(state.get(name))] for name in ("database", "kafka", "outbox")]
    lines += [[name, _numbers(state.get(name))] for name in ("plans", "tasks")]
    if isinstance(state.get("unreadable"), dict):  # no list: which cannot be read is not known
        lines.append(["definitions", _part(state["unreadable"])])
    table(["part", ""], [*lines, ["parked", str(state.get("parked", "?"))]])
    for key, columns in (("troubles", TROUBLES), ("restated", RESTATED), ("unreadable", UNREADABLE)):
        if isinstance(state.get(key), list) and state[key]:
            print()
            rows(state[key], "table", columns)
    if state.get("groups"):
        print()
        rows(state["groups"], "table", GROUPS, name="group")
    if isinstance(state.get("engines"), list) and state["engines"]:
        print()
        rows(state["engines"], "table", ENGINES)


def trace(id: str, output: Form = "table") -> None:
    """Draw a trace: what happened when, and in which service."""
    found = api().get(place("traces", id))
    if output != "table":
        one(found, output, (), name="trace_id")
        return
    for line in waterfall.drawn(found["spans"]):
        print(line)


def whoami(output: Form = "table") -> None:
    """Show the account of the token, and its permissions."""
    one(api().get("/me"), output, ME, name="name")


def _part(answer: Any) -> str:
    part = cast("dict[str, Any]", answer) if isinstance(answer, dict) else {}
    if not part.get("ok"):
        return f"✗ {plain(part.get('problem', 'does not answer'))}"
    age = part.get("oldest_unsent_seconds")
    return "✓ ok" if not age else f"✓ ok, oldest unsent message {age:.1f} s"


def _numbers(numbers: Any) -> str:
    part = cast("dict[str, Any]", numbers) if isinstance(numbers, dict) else {}
    if "problem" in part:
        return f"✗ {plain(part['problem'])}"
    return ", ".join(f"{number} {plain(name)}" for name, number in part.items()) or "none"
