"""`signalbox freeze start` and `signalbox unfreeze`: stop new work, and let it go on."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import typer

from signalbox_client.api import place
from signalbox_client.command import command
from signalbox_client.commands.definitions import FREEZE, GROUPS
from signalbox_client.inputs import Form, api
from signalbox_client.output import Column, ago, echo, one, rows

freeze = GROUPS["freeze"]
ACTIVE: Final[tuple[Column, ...]] = (
    ("holds", lambda found: _places(found)), ("mode", "mode"), ("since", lambda found: ago(found["since_at"])),
    ("until", lambda found: found["until_at"] or "it is lifted"), ("reason", "reason"),
)  # fmt: skip
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@command(freeze, "start")
def freeze_start(
    reason: Annotated[str, typer.Option("--reason", help="the reason; shown to everybody whose work waits")],
    id: Annotated[str, typer.Option("--id", help="its id; derived from the reason if missing")] = "",
    engine: Annotated[list[str] | None, typer.Option("--engine", help="only this engine; repeatable")] = None,
    project: Annotated[list[str] | None, typer.Option("--project", help="only this project; repeatable")] = None,
    until: Annotated[str, typer.Option("--until", help="when it ends, as 2026-03-31T06:00:00Z")] = "",
    lasts: Annotated[str, typer.Option("--for", help="how long it lasts, as 90m, 2h, 1d")] = "",
    drain: Annotated[bool, typer.Option("--drain", help="report when the last running task has ended")] = False,
    output: Form = "table",
) -> None:
    """Start nothing new: everywhere, in some projects or on some engines. Running work continues."""
    if until and lasts:
        raise typer.BadParameter("give either --until or --for")
    body: dict[str, Any] = {
        "reason": reason, "name": reason[:200], "engines": engine or [], "projects": project or [],
        "mode": "drain" if drain else "hold", "ends_at": _end(lasts) if lasts else until or None,
    }  # fmt: skip
    found = api().post("/freezes", {**body, "id": id} if id else body)
    one(found, output, FREEZE.lines)
    if output == "table":
        echo(f"lift it with `signalbox unfreeze {found['id']}`")


@command(freeze, "active")
def freeze_active(output: Form = "table") -> None:
    """List the freezes that hold your work now: why and until when."""
    rows(api().get("/me/freezes")["items"], output, ACTIVE, name="reason")


def unfreeze(id: str) -> None:
    """Lift a freeze: work continues as before."""
    api().delete(place("freezes", id))
    echo(f"freeze {id} is lifted")


def banner(freeze: dict[str, Any]) -> str:
    """One freeze in force, for the top of `signalbox status`."""
    what = _places(freeze)
    until = f"until {freeze['until_at']}" if freeze["until_at"] else "until it is lifted"
    return (
        f"FROZEN: {what}, by {freeze['author']}, {ago(freeze['since_at'])} ago, {until}: "
        f"{freeze['reason']} ({freeze['phase']}; {freeze['running']} running, {freeze['waiting']} waiting; "
        f"`signalbox unfreeze {freeze['id']}` lifts it)"
    )


def _places(freeze: Mapping[str, Any]) -> str:
    names = [*(f"project {name}" for name in freeze["projects"]), *(f"engine {name}" for name in freeze["engines"])]
    return ", ".join(names) or "everything"


def _end(lasts: str) -> str:
    known = re.fullmatch(r"(\d{1,6})([smhd])", lasts)
    if known is None or not 0 < int(known[1]) * _UNITS[known[2]] <= 366 * 86_400:
        raise typer.BadParameter(f"{lasts!r} is not a duration: 90m, 2h, 1d are, up to 366d", param_hint="--for")
    seconds = int(known[1]) * _UNITS[known[2]]
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat(timespec="seconds")
