"""One run: the stack started, loaded and harmed, left alone until it is quiet, and judged."""

import asyncio
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final
from uuid import UUID

import aiohttp

from chaos import evidence, plan
from chaos.faults import Fault, Kind, Targets, only, planned
from chaos.inject import Hurt
from chaos.judge import Evidence, judge
from chaos.load import Load
from chaos.plan import Script
from chaos.report import Report
from chaos.sampler import Looks, looking
from chaos.world import ENGINES, EVERYWHERE, LEASE_SECONDS, SERVICES, Shape, World
from signalbox_local import folders
from signalbox_local.settings import load
from support.proxies import Links

LOCAL: Final = load().local
QUIET_LOOK_SECONDS: Final = 0.5
ReportLine = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Profile:
    """How much of everything."""

    name: str
    tasks: int
    seconds: float
    """The load and the faults are spread over so long."""
    amounts: Mapping[Kind, int]
    patience_seconds: float
    """How long afterwards nothing may come nearer to its end, as long as something is under way."""
    shape: Shape = field(default_factory=Shape)
    script: Script | None = None
    """What every item asks of its engine; by default all sorts of things."""


SHORT: Final = Profile(
    "short", 300, 25,
    {Kind.KILL: 5, Kind.CRASH: 4, Kind.FREEZE: 2, Kind.ENGINE: 1, Kind.POSTGRES: 1, Kind.BROKER: 1, Kind.DELAY: 2,
     Kind.CUT: 2},
    patience_seconds=45,
)  # fmt: skip
FULL: Final = Profile(
    "full", 3200, 600,
    {Kind.KILL: 45, Kind.CRASH: 25, Kind.FREEZE: 12, Kind.ENGINE: 6, Kind.POSTGRES: 6, Kind.BROKER: 4, Kind.KAFKA: 4,
     Kind.DELAY: 12, Kind.CUT: 16},
    patience_seconds=90,
)  # fmt: skip
PROFILES: Final = {profile.name: profile for profile in (SHORT, FULL)}


def targets(profile: Profile) -> Targets:
    """What the stack of this profile has to harm."""
    services = [f"{one.name}-{number}" for one in SERVICES for number in range(1, one.replicas + 1)]
    brokers = [f"kafka-{number}" for number in range(1, profile.shape.brokers + 1)]
    return Targets(
        services=services,
        engines=list(ENGINES),
        brokers=brokers,
        links=[*brokers, *ENGINES, *(f"postgres/{name}" for name in services)],
        crash_points={one.name: (*EVERYWHERE, *one.crash_points) for one in SERVICES},
        lease_seconds=LEASE_SECONDS,
    )


def faults_of(profile: Profile, seed: int, kinds: frozenset[Kind] | None = None) -> list[Fault]:
    """The plan of faults, or the part of it with these kinds."""
    faults = planned(seed, profile.amounts, targets(profile), seconds=profile.seconds)
    return faults if kinds is None else only(faults, kinds)


async def run(
    profile: Profile, seed: int, *, kinds: frozenset[Kind] | None = None, report_line: ReportLine = print
) -> tuple[Report, Path]:
    """The report, and the folder with the logs, which is gone when all held."""
    folder = LOCAL / "chaos" / f"run-{seed}-{int(time.time())}"
    folders.make(folder)
    links = Links(folder / "toxiproxy", load().cache)
    world = World(folder, profile.shape, links)
    began = time.monotonic()
    report_line(f"starting the stack in {folder}")
    try:
        await asyncio.to_thread(world.start)
        report_line(f"the stack answers after {time.monotonic() - began:.0f} s")
        report = await _hurt_and_judge(world, profile, seed, faults_of(profile, seed, kinds), report_line)
    finally:
        await asyncio.to_thread(world.stop)
        await asyncio.to_thread(world.discard)
    report = replace(report, seconds=time.monotonic() - began)
    report.keep(LOCAL / "chaos")
    if report.held:
        shutil.rmtree(folder, ignore_errors=True)
    return report, folder


async def _hurt_and_judge(
    world: World, profile: Profile, seed: int, faults: list[Fault], report_line: ReportLine
) -> Report:
    hurt = Hurt(world)
    await evidence.watch(world)
    journals = {name: world.journal(name) for name in ENGINES}
    async with aiohttp.ClientSession() as session:
        load = Load(world, seed, session)
        names = list(ENGINES)
        graphs = plan.pipelines(seed, engines=names)
        await load.define(graphs)
        stories_of_run = plan.stories(
            seed, tasks=profile.tasks, seconds=profile.seconds * 0.9, engines=names, script=profile.script
        )
        widenings = plan.widenings(seed, seconds=profile.seconds, engines=names)
        with looking(journals) as looks:
            async with asyncio.TaskGroup() as group:
                group.create_task(load.perform(stories_of_run, widenings))
                group.create_task(hurt.carry_out(faults))
            await hurt.heal()
            report_line("all was asked and all faults are over: waiting until nothing is under way")
            still = await _quiet(world, load, profile.patience_seconds)
    # what is read in several places must not move between them
    await asyncio.to_thread(world.stop_services)
    found = await evidence.gather(world, load, looks, graphs)
    report = Report(seed, profile.name, findings=judge(found), open_work=still, not_run=dict(hurt.not_run))
    if not report.held:
        evidence.keep(found, world.folder / "evidence.json")
    report.counts = await _counts(world, load, hurt, looks, found)
    return report


async def _quiet(world: World, load: Load, seconds: float) -> dict[str, int]:
    """Wait until nothing is under way, or nothing has got any further for so long; what still is."""
    left = {UUID(id) for id, story in load.accepted.items() if story.left}
    least, give_up_at = sys.maxsize, 0.0
    while True:
        still = {name: count for name, count in (await evidence.open_work(world, left)).items() if count}
        if not still:
            return still
        if sum(still.values()) < least:
            least, give_up_at = sum(still.values()), time.monotonic() + seconds
        elif time.monotonic() > give_up_at:
            return still
        await asyncio.sleep(QUIET_LOOK_SECONDS)


async def _counts(world: World, load: Load, hurt: Hurt, looks: Looks, found: Evidence) -> dict[str, int]:
    return {
        "items": len(found.items),
        "tasks": len(found.tasks),
        "plans": len(found.plans),
        "plans of pipelines": len(found.steps),
        **{f"fault: {kind}": count for kind, count in sorted(hurt.done.items())},
        **{f"asked: {name}": count for name, count in sorted(load.counts.items())},
        "engine starts": len(found.runs),
        **await evidence.counts(world),
        "samples at the engines": looks.samples,
        **{f"most live runs at once on {engine}": peak for engine, peak in sorted(looks.peaks.items())},
        "changes of tasks audited": len(found.changes),
        "facts of tasks read": len(found.facts),
    }
