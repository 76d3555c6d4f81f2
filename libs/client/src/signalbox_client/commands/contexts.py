"""`signalbox context`: which API, as whom."""

from signalbox_client import contexts
from signalbox_client.command import command, group
from signalbox_client.inputs import Form
from signalbox_client.output import Column, echo, rows

context = group("Which API is called, and as whom.")
COLUMNS: tuple[Column, ...] = (
    ("context", "name"), ("in use", lambda found: "✓" if found["current"] else ""), ("url", "url"),
    ("user", "username"),
)  # fmt: skip


@command(context, "list")
def context_list(output: Form = "table") -> None:
    """List contexts, without their tokens."""
    kept = contexts.load()
    found = [
        {"name": name, "url": one.url, "username": one.username, "current": name == kept.current}
        for name, one in kept.known.items()
    ]
    rows(found, output, COLUMNS, name="name", empty="no contexts: `signalbox login` makes one")


@command(context, "use")
def context_use(name: str) -> None:
    """Use this context from now on."""
    with contexts.changed() as kept:
        if name not in kept.known:
            known = ", ".join(sorted(kept.known)) or "none is stored"
            raise contexts.BadContext(f"there is no context {name}: {known}")
        kept.current = name
    echo(f"{kept.known[name].url} is the current context now")


@command(context, "remove")
def context_remove(name: str) -> None:
    """Forget a context and its token."""
    if name not in contexts.load().known:
        raise contexts.BadContext(f"there is no context {name}")
    contexts.forget(name)
    echo(f"context {name} is removed")
