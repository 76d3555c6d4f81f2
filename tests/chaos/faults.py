"""The plan of faults: a pure function of the seed, so a run can be printed, repeated and cut down to one kind."""

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    KILL = "kill"
    """kill -9 of a service."""
    CRASH = "crash"
    """kill -9, and the next one dies once more by itself, at a named crash point: where a random kill seldom falls."""
    FREEZE = "freeze"
    """SIGSTOP past every lease, then SIGCONT."""
    ENGINE = "engine"
    """kill -9 of a scripted engine; it remembers what it accepted."""
    POSTGRES = "postgres"
    """Stopped as `pg_ctl stop -m immediate` does, and started: it recovers from its log."""
    BROKER = "broker"
    """kill -9 of one broker of three, back some seconds later."""
    KAFKA = "kafka"
    """kill -9 of every broker, back some seconds later."""
    DELAY = "delay"
    """A link that takes longer."""
    CUT = "cut"
    """A link that is *closed*: connections break and new ones are refused; or *silent*: nothing comes through."""


NETWORK: Final = frozenset({Kind.DELAY, Kind.CUT})


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault, `at` seconds after the beginning of the load. `seconds` is how long it lasts, where it lasts."""

    at: float
    kind: Kind
    target: str
    seconds: float = 0.0
    detail: str = ""

    def __str__(self) -> str:
        lasting = f" for {self.seconds:.1f} s" if self.seconds else ""
        return f"{self.at:7.2f} s  {self.kind:8} {self.target}{lasting}{f'  ({self.detail})' if self.detail else ''}"


@dataclass(frozen=True, slots=True)
class Targets:
    """What there is to harm."""

    services: Sequence[str]
    engines: Sequence[str]
    brokers: Sequence[str]
    links: Sequence[str]
    crash_points: Mapping[str, Sequence[str]]
    """By service, without the number of its replica."""
    lease_seconds: float


def planned(seed: int, amounts: Mapping[Kind, int], targets: Targets, *, seconds: float) -> list[Fault]:
    """So many faults of each kind, in order. Each kind has a source of its own: leaving one out changes no other."""
    faults: list[Fault] = []
    for kind in Kind:
        source = random.Random(f"{seed}/{kind}")
        count = amounts.get(kind, 0)
        for number in range(count):
            # one in each part of the time, so that chance does not put them all at one end
            at = (number + source.uniform(0.05, 0.95)) * seconds / count
            faults.append(_fault(source, kind, at, targets, seconds))
    return sorted(faults, key=lambda fault: (fault.at, fault.kind, fault.target))


def only(faults: Sequence[Fault], kinds: Collection[Kind]) -> list[Fault]:
    """The same faults, without those of other kinds."""
    return [fault for fault in faults if fault.kind in kinds]


def service_of(replica: str) -> str:
    """`api-gateway-2` is an `api-gateway`."""
    return replica.rpartition("-")[0]


def _fault(source: random.Random, kind: Kind, at: float, targets: Targets, seconds: float) -> Fault:
    at = round(at, 2)
    match kind:
        case Kind.KILL:
            return Fault(at, kind, source.choice(targets.services))
        case Kind.CRASH:
            target = source.choice([name for name in targets.services if targets.crash_points.get(service_of(name))])
            point = source.choice(targets.crash_points[service_of(target)])
            # not always the first time round: the second and third happen in the middle of other work
            return Fault(at, kind, target, detail=f"{point}:{source.randint(1, 3)}")
        case Kind.FREEZE:
            lasting = round(targets.lease_seconds * source.uniform(1.5, 2.5), 1)
            return Fault(at, kind, source.choice(targets.services), lasting)
        case Kind.ENGINE:
            return Fault(at, kind, source.choice(targets.engines))
        case Kind.POSTGRES:
            return Fault(at, kind, "postgres")
        case Kind.BROKER:
            return Fault(at, kind, source.choice(targets.brokers), round(source.uniform(1.0, 4.0), 1))
        case Kind.KAFKA:
            return Fault(at, kind, "all brokers", round(source.uniform(0.5, 3.0), 1))
        case Kind.DELAY:
            return Fault(at, kind, source.choice(targets.links), round(source.uniform(3.0, 8.0), 1),
                         f"{source.randint(20, 300)} ms")  # fmt: skip
        case Kind.CUT:
            return Fault(at, kind, source.choice(targets.links), round(source.uniform(1.0, 5.0), 1),
                         source.choice(["closed", "silent"]))  # fmt: skip
