"""The faults, carried out: signals, restarts and cuts. Two faults of one target wait for each other."""

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from chaos.faults import NETWORK, Fault, Kind
from chaos.world import World
from signalbox_local import supervisor
from signalbox_local.kafka import KafkaNode
from signalbox_local.services import SupervisedService

log = logging.getLogger(__name__)
STARTED_AGAIN_SECONDS: Final = 120.0
LOOK_SECONDS: Final = 0.05


class NotStartedAgain(Exception):
    """A supervisor did not start its service again: a defect of the harness or of the supervisor."""


@dataclass
class Hurt:
    """Carries out a plan of faults on one stack."""

    world: World
    done: Counter[Kind] = field(default_factory=Counter[Kind])
    not_run: Counter[str] = field(default_factory=Counter[str])
    """Why → how many."""
    log: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def carry_out(self, faults: Sequence[Fault]) -> None:
        """Each at its time."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for fault in faults:
                group.create_task(self._at(fault, began))

    async def heal(self) -> None:
        """Nothing is cut or frozen any more; returns when all that was killed answers again. Raises ServerNotReady."""
        for service in self.world.services.values():
            _signal(service.child, signal.SIGCONT)
            # a crash point that was armed and not reached dies with the next start
            (service.folder / supervisor.ONCE_FILE).unlink(missing_ok=True)
        await asyncio.to_thread(self.world.links.heal)
        for service in (*self.world.services.values(), *self.world.engines.values()):
            await asyncio.to_thread(service.wait_ready, STARTED_AGAIN_SECONDS)

    async def _at(self, fault: Fault, began: float) -> None:
        await asyncio.sleep(max(0.0, began + fault.at - time.monotonic()))
        if fault.kind in NETWORK and self.world.links.missing:
            self.not_run[f"{fault.kind}: {self.world.links.missing}"] += 1
            return
        async with self._locks[_lock(fault)]:
            self._report_line(began, fault)
            await self._run(fault)
        self.done[fault.kind] += 1

    def _report_line(self, began: float, fault: Fault) -> None:
        line = f"{time.monotonic() - began:7.2f} s  {fault}"
        self.log.append(line)
        log.info("%s", line)

    async def _run(self, fault: Fault) -> None:
        match fault.kind:
            case Kind.KILL:
                await self._kill(self.world.services[fault.target])
            case Kind.CRASH:
                service = self.world.services[fault.target]
                supervisor.set_next_start_variables(service.folder, {"SIGNALBOX_CRASH_AT": fault.detail})
                await self._kill(service)
            case Kind.ENGINE:
                await self._kill(self.world.engines[fault.target])
            case Kind.FREEZE:
                await self._freeze(self.world.services[fault.target], fault.seconds)
            case Kind.POSTGRES:
                await asyncio.to_thread(self.world.postgres.restart, "immediate")
            case Kind.BROKER | Kind.KAFKA:
                await self._brokers(fault)
            case Kind.DELAY | Kind.CUT:
                await self._link(fault)

    async def _kill(self, service: SupervisedService) -> None:
        """kill -9 below the supervisor; returns when the next one was started."""
        before, give_up_at = service.starts, time.monotonic() + STARTED_AGAIN_SECONDS
        while not _signal(service.child, signal.SIGKILL) and time.monotonic() < give_up_at:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_SECONDS)  # its supervisor is just waiting before it starts it again
        while service.starts <= before:
            if time.monotonic() > give_up_at:
                raise NotStartedAgain(service.name)
            await asyncio.sleep(LOOK_SECONDS)

    async def _freeze(self, service: SupervisedService, seconds: float) -> None:
        child = service.child
        if not _signal(child, signal.SIGSTOP):
            return
        try:
            await asyncio.sleep(seconds)
        finally:
            _signal(child, signal.SIGCONT)

    async def _brokers(self, fault: Fault) -> None:
        nodes = [node for node in self.world.kafka.nodes if fault.kind is Kind.KAFKA or fault.target == _name(node)]
        for node in nodes:
            await asyncio.to_thread(node.kill)
        await asyncio.sleep(fault.seconds)
        for node in nodes:
            await asyncio.to_thread(node.start)
        for node in nodes:
            await asyncio.to_thread(node.wait_ready, 180)  # three brokers start beside everything else

    async def _link(self, fault: Fault) -> None:
        links = self.world.links
        if fault.kind is Kind.DELAY:
            await asyncio.to_thread(links.delay, fault.target, int(fault.detail.split()[0]))
        elif fault.detail == "silent":
            await asyncio.to_thread(links.silence, fault.target)
        else:
            await asyncio.to_thread(links.close, fault.target)
        try:
            await asyncio.sleep(fault.seconds)
        finally:
            await asyncio.to_thread(links.heal_one, fault.target)


def _lock(fault: Fault) -> str:
    """What may be harmed by one fault at a time."""
    return "kafka" if fault.kind in (Kind.BROKER, Kind.KAFKA) else f"{fault.kind in NETWORK} {fault.target}"


def _name(node: KafkaNode) -> str:
    return f"kafka-{node.number}"


def _signal(pid: int | None, number: signal.Signals) -> bool:
    """Whether there was a process to send it to."""
    if pid is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False
