"""Checks of a definition against the other definitions, before it is saved."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from signalbox_chassis.persistence.connection import Connection
from signalbox_contracts.definitions.channel import EVENT_TYPES, Channel, Subscription, event_type
from signalbox_contracts.definitions.engine import Engine
from signalbox_contracts.definitions.freeze import Freeze
from signalbox_contracts.definitions.job import Job
from signalbox_contracts.definitions.move import Move
from signalbox_contracts.definitions.pipeline import Pipeline
from signalbox_contracts.definitions.placement import NoFittingEngine, choose_engine
from signalbox_contracts.definitions.problems import InvalidDefinition, Problem
from signalbox_contracts.definitions.references import SECRET, references
from signalbox_contracts.definitions.schedule import Schedule
from signalbox_contracts.definitions.trigger import Trigger, pattern_matches
from signalbox_gateway.definitions import store
from signalbox_gateway.definitions.impossible import impossible

MAX_FALLBACKS: Final = 10
"""Longest chain of channels that stand in for one another."""
Loaded = Mapping[tuple[str, str], store.Stored]
Unreadable = dict[str, store.DefinitionUnreadable]
"""Definitions that cannot be read, by the field that names them."""


async def check_definition(connection: Connection, definition: Any) -> None:
    """Refuse a definition that says what cannot be, names a missing definition or does not fit a named one.

    Raises `InvalidDefinition`. A named one that must be read for that and cannot is one of its problems, or raised as
    `DefinitionUnreadable` where it is the only one.
    """
    refuse(*await find_problems(connection, definition))


async def find_problems(connection: Connection, definition: Any) -> tuple[list[Problem], Unreadable]:
    """What `check_definition` refuses."""
    loaded = await _load_references(connection, definition)
    problems = [
        Problem(target.field, repr(target.id), await _words(connection, target.kind))
        for target in references(definition)
        if target.kind != SECRET and (target.kind, target.id) not in loaded
    ]
    problems += impossible(definition)
    unreadable: Unreadable = {}
    if not problems:
        problems = [*_misfits(definition, loaded, unreadable), *await _fallback_cycle(connection, definition)]
        problems += await _unknown_projects(connection, definition)
        problems += await _moved_twice(connection, definition)
    return problems, unreadable


def refuse(problems: Iterable[Problem], unreadable: Unreadable) -> None:
    """Raise all that is wrong: `InvalidDefinition`, or the only `DefinitionUnreadable`."""
    wrong = list(problems)
    errors = {(error.kind, error.id): error for error in unreadable.values()}
    if len(errors) == 1 and not wrong:
        raise next(iter(errors.values()))
    wrong += [Problem(place, repr(error.id), str(error)) for place, error in unreadable.items()]
    if wrong:
        raise InvalidDefinition(tuple(wrong))


async def engine_for(connection: Connection, job: Job) -> store.Saved:
    """The engine that runs a job, as `engine_of_kind`."""
    return await engine_of_kind(connection, job.work.kind, job.engine)


async def engine_of_kind(connection: Connection, work_kind: str, named: str | None) -> store.Saved:
    """The engine for work of this kind: the named one, or the only one that fits.

    Raises `InvalidDefinition`, and `DefinitionUnreadable` when the named one cannot be read.
    """
    if named is not None:
        known = await store.load_all(connection, "engine", [named])
    else:
        saved = await store.list_definitions(connection, "engine", limit=1000)
        known = {engine.definition.id: engine for engine in saved}
    engines = [one.definition for one in known.values() if isinstance(one.definition, Engine)]
    try:
        return known[choose_engine(engines, work_kind=work_kind, named=named).id]
    except NoFittingEngine as error:
        missing = error.field == "engine" and error.value is not None
        allowed = await _words(connection, "engine") if missing else error.allowed
        raise InvalidDefinition((Problem(error.field, _shown(error.value), allowed),)) from None


async def _load_references(connection: Connection, definition: Any) -> Loaded:
    wanted: dict[str, set[str]] = {}
    for target in references(definition):
        if target.kind != SECRET:
            wanted.setdefault(target.kind, set()).add(target.id)
    return {
        (kind, id): stored
        for kind, ids in wanted.items()
        for id, stored in (await store.find_all(connection, kind, sorted(ids))).items()
    }


async def _words(connection: Connection, kind: str) -> str:
    """What a reference to this kind may name."""
    ids = [saved.definition.id for saved in await store.list_definitions(connection, kind, limit=20)]
    article = "an" if kind[0] in "aeiou" else "a"
    allowed = f"allowed are {', '.join(ids)}" if ids else "none is registered yet"
    return f"is not {article} {kind}: {allowed}"


def _misfits(definition: Any, loaded: Loaded, unreadable: Unreadable) -> Iterator[Problem]:
    match definition:
        case Job(engine=str()):
            yield from _engine_misfit(definition.engine, definition.work.kind, "", loaded, unreadable)
        case Pipeline():
            for number, step in enumerate(definition.steps):
                yield from _engine_misfit(step.engine, step.work.kind, f"steps.{number}.", loaded, unreadable)
        case Schedule() | Trigger():
            saved = loaded[definition.target.kind, definition.target.id].read()
            given = definition.params if isinstance(definition, Schedule) else definition.mapping
            yield from _target_misfits(definition.target.version, list(given), saved, definition)
        case Subscription():
            yield from _unknown_events(definition)
        case Move():
            for field, kind in (("engine", "oozie"), ("airflow_engine", "airflow")):
                id: str = getattr(definition, field)
                engine = loaded["engine", id].read().definition
                if isinstance(engine, Engine) and engine.connection.kind != kind:
                    yield Problem(field, repr(id), f"engine {id} is of kind {engine.connection.kind}, not {kind}")
        case _:
            return


def _unknown_events(subscription: Subscription) -> Iterator[Problem]:
    """A pattern that no event type matches would never send anything."""
    for number, pattern in enumerate(subscription.events):
        if not any(pattern_matches(event_type(pattern), known) for known in EVENT_TYPES):
            allowed = f"is no event type, nor a pattern of one: allowed are {', '.join(EVENT_TYPES)}"
            yield Problem(f"events.{number}", repr(pattern), allowed)


def _engine_misfit(
    id: str | None, work_kind: str, place: str, loaded: Loaded, unreadable: Unreadable
) -> Iterator[Problem]:
    if id is None:
        return
    try:
        engine = loaded["engine", id].read().definition
    except store.DefinitionUnreadable as error:
        unreadable[f"{place}engine"] = error
        return
    if isinstance(engine, Engine) and engine.connection.kind != work_kind:
        allowed = f"engine {id} runs {engine.connection.kind}"
        yield Problem(f"{place}work.kind", repr(work_kind), allowed)


def _target_misfits(version: int | None, given: list[str], saved: store.Saved, definition: Any) -> Iterator[Problem]:
    """The version must exist. Names of parameters are checked here; values when the target starts."""
    target = saved.definition
    if version is not None and version > saved.version:
        yield Problem("target.version", str(version), f"{target.kind} {target.id} has versions 1 to {saved.version}")
    if version is None or version == saved.version:
        declared = target.params if isinstance(target, Job | Pipeline) else {}
        field = "params" if isinstance(definition, Schedule) else "mapping"
        for name in given:
            if name not in declared:
                allowed = f"{target.kind} {target.id} has the parameters {', '.join(sorted(declared)) or 'none'}"
                yield Problem(f"{field}.{name}", None, allowed)


async def _moved_twice(connection: Connection, definition: Any) -> list[Problem]:
    """A coordinator lives in one place at a time."""
    if not isinstance(definition, Move):
        return []
    wanted = store.DefinitionFilter(engine=[definition.engine])
    for saved in await store.list_definitions(connection, "move", wanted, limit=10_000):
        other = saved.definition
        if (
            isinstance(other, Move)
            and (other.engine, other.coordinator) == (definition.engine, definition.coordinator)
            and other.id != definition.id
        ):
            return [Problem("coordinator", repr(definition.coordinator), f"move {other.id} is about it already")]
    return []


async def _unknown_projects(connection: Connection, definition: Any) -> list[Problem]:
    """A freeze of a project that nothing belongs to would hold nothing, and nobody would see why."""
    if not isinstance(definition, Freeze) or not definition.projects:
        return []
    known = await store.projects(connection)
    allowed = f"is no project of any definition: allowed are {', '.join(known[:20])}"
    return [
        Problem(f"projects.{number}", repr(project), allowed)
        for number, project in enumerate(definition.projects)
        if project not in known
    ]


async def _fallback_cycle(connection: Connection, definition: Any) -> list[Problem]:
    """A message must not travel in a circle of channels that stand in for one another."""
    if not isinstance(definition, Channel) or definition.fallback is None:
        return []
    chain, next_id = [definition.id], definition.fallback
    while next_id is not None and len(chain) <= MAX_FALLBACKS:
        chain.append(next_id)
        if next_id == definition.id:
            return [Problem("fallback", repr(definition.fallback), f"makes a circle: {' → '.join(chain)}")]
        stored = await store.find(connection, "channel", next_id)
        saved = stored.read_if_possible() if stored else None  # the chain ends where it cannot be read
        next_id = saved.definition.fallback if saved and isinstance(saved.definition, Channel) else None
    if next_id is not None:
        return [Problem("fallback", repr(definition.fallback), f"at most {MAX_FALLBACKS} channels may follow")]
    return []


def _shown(value: str | None) -> str | None:
    return None if value is None else repr(value)
