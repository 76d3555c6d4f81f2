"""Pauses the garbage collector for work that creates very many objects at once.

100,000 items read and sent took 4.5 s of CPU with it and 1.6 s without: each collection walks all that is there, and
nothing of it is garbage before the request is answered.
"""

import gc
from collections.abc import Generator
from contextlib import contextmanager

_held = 0


@contextmanager
def gc_pause(large: bool) -> Generator[None]:
    """Pause the collector while a large request is handled; several may at once. Reference counts still free."""
    global _held
    if not large:
        yield
        return
    _held += 1
    gc.disable()
    try:
        yield
    finally:
        _held -= 1
        if not _held:
            gc.enable()
