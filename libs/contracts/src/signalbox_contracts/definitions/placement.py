"""Which engine runs a piece of work: the named one, the default of its kind, or the only one that fits.

Pure; every service uses this rule.
"""

from collections.abc import Iterable
from typing import Final

from signalbox_contracts.definitions.engine import Engine

DEFAULT_LABEL: Final = "default"
"""An engine whose label `default` is `true` runs work of its kind that names no engine."""


class NoFittingEngine(ValueError):
    """The work has no engine. `field` is `engine` or `work.kind`; `allowed` says what would fit."""

    def __init__(self, field: str, value: str | None, allowed: str) -> None:
        super().__init__(f"{field}: {allowed}")
        self.field = field
        self.value = value
        self.allowed = allowed


def choose_engine(engines: Iterable[Engine], *, work_kind: str, named: str | None = None) -> Engine:
    """The engine that runs work of this kind. Raises `NoFittingEngine`.

    `engines` holds at least the named engine, or all engines when none is named.
    """
    known = {engine.id: engine for engine in engines}
    if named is None:
        return _only_fitting(known, work_kind)
    engine = known.get(named)
    if engine is None:
        raise NoFittingEngine("engine", named, f"is not an engine: {_words(known)}")
    if engine.connection.kind != work_kind:
        raise NoFittingEngine("work.kind", work_kind, f"engine {named} runs {engine.connection.kind}, not {work_kind}")
    return engine


def _only_fitting(known: dict[str, Engine], work_kind: str) -> Engine:
    fitting = [engine for engine in known.values() if engine.connection.kind == work_kind]
    defaults = [engine for engine in fitting if engine.labels.get(DEFAULT_LABEL) == "true"]
    fitting = defaults if len(defaults) == 1 else fitting
    if len(fitting) != 1:
        names = ", ".join(sorted(engine.id for engine in fitting)[:20]) or "none is registered"
        raise NoFittingEngine("engine", None, f"must be named: engines that run {work_kind}: {names}")
    return fitting[0]


def _words(known: dict[str, Engine]) -> str:
    return f"allowed are {', '.join(sorted(known)[:20])}" if known else "none is registered yet"
