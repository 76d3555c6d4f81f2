"""What happens on an engine: submits and stops arrive, runs end, and what a bad engine does besides."""

from collections.abc import Iterator

from .model import Model
from .state import (
    AT_ANSWER,
    AT_REJECTION,
    BROKEN,
    DONE,
    KILLED,
    LIVE,
    LOSER,
    SEALED,
    Site,
    State,
    Step,
    phase_of,
    put,
)


def with_phase(site: Site, key: int, phase: str) -> tuple[tuple[int, str], ...]:
    return tuple(sorted([*(run for run in site.runs if run[0] != key), (key, phase)]))


def without_key(site: Site, key: int) -> tuple[tuple[int, str], ...]:
    return tuple(run for run in site.runs if run[0] != key)


def happen(m: Model, s: State) -> Iterator[Step]:
    for t, site in enumerate(s.sites):
        if m.silent and m.task_engine[t] == 0:
            continue
        changes = [*_arrivals(m, site), *_ends(m, site)]
        for fault, label, after in changes:
            yield fault, f"t{t}: {label}", s._replace(sites=put(s.sites, t, after))
        if m.rejects:
            yield from _rejections(s, t)


def _arrivals(m: Model, site: Site) -> Iterator[tuple[bool, str, Site]]:
    for copy in site.flying:
        key = copy[0]
        flying = site.flying if m.copies_repeat else tuple(c for c in site.flying if c != copy)
        if phase_of(site, key) in {LIVE, DONE, BROKEN, KILLED, SEALED, LOSER}:
            if flying != site.flying:
                yield False, f"submit of key {key} arrives: already there", site._replace(flying=flying)
            continue
        works = not m.start_fence or not fence_taken(m, site, m.attempt_of(key))
        after = Site(
            with_phase(site, key, LIVE if works else LOSER),
            flying,
            site.stops,
            site.known if key in site.known else tuple(sorted((*site.known, key))),
            site.forgotten,
        )
        yield (
            False,
            f"submit of key {key} arrives: {'runs' if works else 'starts, loses the start fence, exits'}",
            after,
        )
        if not m.copies_repeat:
            yield True, f"submit of key {key} is lost on its way", site._replace(flying=flying)


def fence_taken(m: Model, site: Site, attempt: int) -> bool:
    """The start fence is a row with us: it never forgets, whatever the engine does."""
    keys = [*site.known, *(key for key, phase in site.runs if phase == SEALED)]
    return any(m.attempt_of(key) == attempt for key in keys)


def _ends(m: Model, site: Site) -> Iterator[tuple[bool, str, Site]]:
    for key, phase in site.runs:
        if phase == LIVE:
            yield False, f"run {key} succeeds", site._replace(runs=with_phase(site, key, DONE))
            yield False, f"run {key} fails", site._replace(runs=with_phase(site, key, BROKEN))
            if key in site.stops and m.stop_deletes:
                yield False, f"stop of {key} arrives and deletes it", site._replace(runs=without_key(site, key))
            elif key in site.stops:
                yield False, f"stop of {key} arrives", site._replace(runs=with_phase(site, key, KILLED))
        elif m.forgets and phase != SEALED:
            forgotten = min(2, site.forgotten + (phase == DONE))
            after = site._replace(runs=without_key(site, key), forgotten=forgotten)
            yield True, f"the engine forgets run {key}", after


def _rejections(s: State, t: int) -> Iterator[Step]:
    site = s.sites[t]
    for copy in site.flying:
        key, sender = copy
        if phase_of(site, key) in {LIVE, DONE, BROKEN, KILLED, SEALED, LOSER}:
            continue
        narrate = tuple(
            sorted(
                c._replace(at=AT_REJECTION) if (c.task, c.fence, c.at) == (t, sender, AT_ANSWER) else c
                for c in s.coroutines
            )
        )
        after = site._replace(flying=tuple(c for c in site.flying if c != copy))
        label = f"t{t}: submit of key {key} (sent with fence {sender}) is rejected"
        yield True, label, s._replace(sites=put(s.sites, t, after), coroutines=narrate)
