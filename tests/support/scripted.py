"""A scripted engine of a test's own."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from engines.scripted.harness import ScriptedServer


@contextmanager
def scripted_server(folder: Path) -> Generator[str]:
    """Its URL, while the block runs."""
    with ScriptedServer(folder / "engine") as server:
        yield server.url
