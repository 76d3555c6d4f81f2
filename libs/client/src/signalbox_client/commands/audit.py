"""`signalbox audit`: who did what, and whether the trail is as it was written."""

from typing import Annotated, Any

import typer

from signalbox_client.command import command, group
from signalbox_client.exit_codes import EndedBadly
from signalbox_client.inputs import Everything, Form, Limit, api, row_limit
from signalbox_client.output import Column, ago, one, rows, write_through

audit = group("Who did what.")
ENTRIES: tuple[Column, ...] = (
    ("entry", "seq"), ("when", lambda found: ago(found["at"])), ("who", "actor"), ("did", "action"),
    ("to", "target"), ("ended", "outcome"), ("why", "reason"), ("from", "address"),
)  # fmt: skip
VERIFIED: tuple[Column, ...] = (
    ("good", "good"), ("entries", "entries"), ("last", "last_seq"), ("broken at", "broken_at"), ("detail", "detail"),
)  # fmt: skip


@command(audit, "list")
def audit_list(
    actor: Annotated[str, typer.Option("--actor", help="who: user:ann")] = "",
    target: Annotated[str, typer.Option("--target", help="a path, such as /plans/ID")] = "",
    action: Annotated[str, typer.Option("--action", help="an operation, such as plan_cancel")] = "",
    outcome: Annotated[str, typer.Option("--outcome", help="done, refused, unauthenticated or failed")] = "",
    since: Annotated[str, typer.Option("--since", help="at this instant or later")] = "",
    until: Annotated[str, typer.Option("--until", help="before this instant")] = "",
    limit: Limit = 50,
    everything: Everything = False,
    output: Form = "table",
) -> None:
    """List actions and refusals, newest first."""
    wanted = {"actor": actor, "target": target, "action": action, "outcome": outcome, "since": since, "until": until}
    rows(api().pages("/audit", wanted, limit=row_limit(limit, everything)), output, ENTRIES, name="seq")


@command(audit, "export")
def audit_export(
    from_seq: Annotated[int, typer.Option("--from", min=1, help="first entry to export")] = 1,
) -> None:
    """Print the audit trail as JSON Lines, oldest entry first."""
    for chunk in api().stream("/audit/export", {"from_seq": from_seq}):
        write_through(chunk)


@command(audit, "verify")
def audit_verify(output: Form = "table") -> None:
    """Verify the hash chain of all entries. Fails if an entry was changed or is missing."""
    found: Any = api().get("/audit/verify")
    one(found, output, VERIFIED, name="last_seq")
    if not found["good"]:
        raise EndedBadly(f"the audit trail is broken at entry {found['broken_at']}: {found['detail']}")
