"""What the tests of every engine share that use the whole product: its command line, and its services' settings."""

import asyncio
import json
import os
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from engines.harness import until
from support.deadlines import DeadlineExceeded
from support.full_stack import FullStack

COMMAND: Final = Path(sys.executable).with_name("signalbox")
ENDED: Final = ("SUCCEEDED", "FAILED", "CANCELLED")


class Product:
    """Every service, and the command line as its administrator uses it."""

    stack: FullStack
    folder: Path

    @property
    def address(self) -> str:
        """Of the API."""
        assert self.stack.session is not None
        return str(self.stack.session._base_url).rstrip("/")  # pyright: ignore[reportPrivateUsage]

    async def run(self, *words: str) -> tuple[int, str, str]:
        """The exit code of a command, what it wrote, and its errors."""
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(self.folder), "SIGNALBOX_API_URL": self.address,
            "SIGNALBOX_TOKEN": self.stack.token,
        }  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            str(COMMAND), *words, cwd=self.folder, env=environment, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, errors = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode(), errors.decode()

    async def signalbox(self, *words: str, code: int = 0) -> str:
        """What a command wrote that ends with this exit code."""
        ended, out, errors = await self.run(*words)
        assert ended == code, f"{ended}: {errors} {out}"
        return out + (errors if code else "")

    async def json(self, *words: str) -> Any:
        """What a command prints as JSON."""
        return json.loads(await self.signalbox(*words, "-o", "json"))

    async def task(self, id: str, states: Collection[str] = ENDED, *, seconds: float = 180) -> dict[str, Any]:
        """A task, once it is in one of these states."""
        seen: dict[str, Any] = {}

        async def there() -> bool:
            seen.update(await self.stack.ask("GET", f"/tasks/{id}"))
            return seen["state"] in states

        try:
            await until(there, f"{id} is {' or '.join(states)}", timeout_seconds=seconds)
        except DeadlineExceeded:
            pytest.fail(f"{id} is not {' or '.join(states)}: {json.dumps(seen, indent=1)}")
        return seen


def changed_settings(settings: Any, changes: Mapping[str, Any]) -> Any:
    """`FullStack.settings` with these values, each where a service has it. A function gets the service's name."""

    def changed(self: FullStack, name: str) -> Any:
        found: Any = settings(self, name)
        own = {key: value(name) if callable(value) else value for key, value in changes.items() if hasattr(found, key)}
        return found.model_copy(update=own)

    return changed
