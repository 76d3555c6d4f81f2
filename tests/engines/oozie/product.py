"""What tests ask of the whole stack with an Oozie engine: previews, applied plans, their items, the command line."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from engines.oozie.world import World, until
from support.full_stack import FullStack

DONE: Final = frozenset({"SUCCEEDED", "KILLED", "DONEWITHERROR"})
ENDS: Final = frozenset({"SUCCEEDED", "COMPLETED_WITH_ERRORS", "FAILED", "CANCELLED", "REFUSED"})


def address(stack: FullStack) -> str:
    """Where the stack's API is reached."""
    assert stack.session is not None
    return str(stack.session._base_url).rstrip("/")  # pyright: ignore[reportPrivateUsage]


async def plan_in(stack: FullStack, id: str, states: frozenset[str] | set[str], seconds: float = 120) -> Any:
    return await until(lambda: stack.ask("GET", f"/plans/{id}"), lambda plan: plan["state"] in states, seconds)


async def preview(stack: FullStack, selection: dict[str, Any], **more: Any) -> Any:
    """A previewed plan."""
    body = {"selections": [{"engine": "ooz", "selection": selection}], "preview": True, **more}
    made = await stack.ask("POST", "/plans", body)
    return await plan_in(stack, made["id"], {"PREVIEWED", "REFUSED"})


async def apply(stack: FullStack, plan: Any) -> Any:
    """What an applied plan ended as."""
    await stack.ask("POST", f"/plans/{plan['id']}/apply", {"preview_hash": plan["preview_hash"]})
    return await plan_in(stack, plan["id"], ENDS)


async def items(stack: FullStack, plan: Any) -> list[Any]:
    found = await until(
        lambda: stack.ask("GET", f"/plans/{plan['id']}/items?limit=200"),
        lambda page: len(page["items"]) == min(200, plan["counts"]["total"]),
    )
    return found["items"]


def actions(*coordinators: str, **rerun: Any) -> dict[str, Any]:
    return {"kind": "oozie_actions", "coordinators": coordinators, "rerun": rerun}


async def gated_coordinator(world: World, days: int, failing: set[int]) -> str:
    """A coordinator of so many days, of which these failed."""
    for day in range(1, days + 1):
        if day not in failing:
            world.open_gate(day)
    coordinator = await world.coordinator(days=days, concurrency="10")
    await world.hands.until(coordinator, DONE, 120)
    return coordinator


def tree(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


async def command_line(stack: FullStack, home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """What `signalbox oozie …` did."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "SIGNALBOX_API_URL": address(stack),
        "SIGNALBOX_TOKEN": stack.token,
    }
    command = [str(Path(sys.executable).parent / "signalbox"), "oozie", *words]
    return await asyncio.to_thread(
        subprocess.run, command, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
