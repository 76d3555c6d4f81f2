"""A plan's limit, seen from outside: pids sampled while it runs, and stamps its own tasks wrote."""

import os
import threading
import time
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from demo.api import Api
from support.e2e import EXECUTOR, RunningStack, unique, until

LIMIT = 8
SAMPLES_PER_SECOND = 50
PROGRAM = "stampit"
SETTLED_SECONDS = 2.0
"""A process is what it will be: a fork becomes the program within milliseconds."""


class Sampler(threading.Thread):
    """How many processes of the program live, asked of the kernel 50 times a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.samples: list[tuple[float, int]] = []
        self.over = threading.Event()

    def run(self) -> None:
        living, due = Living(), time.monotonic()
        while not self.over.is_set():
            self.samples.append((time.monotonic(), living()))
            due += 1 / SAMPLES_PER_SECOND
            self.over.wait(max(0.0, due - time.monotonic()))

    @property
    def per_second(self) -> float:
        return len(self.samples) / (self.samples[-1][0] - self.samples[0][0])

    @property
    def peak(self) -> int:
        return max(count for _, count in self.samples)


class Living:
    """Processes that run the program now. Those that were seen to be something else for a while are not read again."""

    def __init__(self) -> None:
        self._others: dict[str, float] = {}

    def __call__(self) -> int:
        now = time.monotonic()
        names = [name for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 -- 50 times a second
        self._others = {name: since for name, since in self._others.items() if name in set(names)}
        return sum(self._runs(name, now) for name in names if now - self._others.get(name, now) < SETTLED_SECONDS)

    def _runs(self, pid: str, now: float) -> bool:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return False
        program, _, rest = stat.partition("(")[2].rpartition(")")
        if program != PROGRAM:
            self._others.setdefault(pid, now)
            return False
        return rest.split()[0] not in "ZX"  # a dead one that nobody collected yet does not count


@contextmanager
def sampled() -> Generator[Sampler]:
    sampler = Sampler()
    sampler.start()
    try:
        yield sampler
    finally:
        sampler.over.set()
        sampler.join()


def stamps(file: Path) -> list[tuple[float, int, str]]:
    """Instant, +1 or -1, run key: in the order they happened."""
    lines = (line.split() for line in file.read_text().splitlines())
    return sorted((float(at), 1 if word == "began" else -1, key) for word, key, _, at in lines)


def peak_of(found: Sequence[tuple[float, int, str]], *, after: float = 0.0) -> int:
    """The most that ran at the same instant, by their own stamps."""
    running = peak = 0
    for at, change, _ in found:
        running += change
        if at > after:
            peak = max(peak, running)
    return peak


def items(stack: RunningStack, file: Path, count: int) -> list[dict[str, Any]]:
    """Most are short; eight of each hundred are long enough to surely run together."""
    program = str(stack.signalbox.programs / PROGRAM)
    return [
        {
            "key": f"item/{number:04}",
            "engine": "local",
            "work": {"kind": "process", "argv": [program, str(file), "1.5" if number % 100 < LIMIT else "0.05"]},
        }
        for number in range(count)
    ]


async def widen(api: Api) -> None:
    """The engine itself takes more than the plan: only the plan's limit can hold. It is asked often, so that places
    are free soon after they became so."""
    shown = await api.ask("GET", "/engines/local")
    kept = {name: shown[name] for name in ("id", "name", "description", "connection")}
    changed = {**kept, "limits": {"concurrency": 64}, "observe_every_seconds": 0.1}
    await api.ask("PUT", "/engines/local", changed)


async def test_of_1000_processes_never_more_than_the_limit_run_also_when_the_executor_is_killed(
    stack: RunningStack, api: Api
) -> None:
    await widen(api)
    file = stack.signalbox.work / unique("stamps")
    plan = {"name": "a thousand processes", "items": items(stack, file, 1000), "rules": {"limit": LIMIT}}
    with sampled() as sampler:
        requested = await api.ask("POST", "/plans", plan)
        await until(lambda: file.exists() and file.read_text().count("ended") >= 250, seconds=120, why="too slow")
        await stack.kill(EXECUTOR)
        killed_at = time.monotonic()
        ended = await api.ended(requested["id"], seconds=240)
    assert (ended["state"], ended["counts"]["succeeded"]) == ("SUCCEEDED", 1000)
    found = stamps(file)
    starts = Counter(key for _, change, key in found if change == 1)
    assert (len(starts), set(starts.values())) == (1000, {1})
    assert (sampler.peak, peak_of(found), peak_of(found, after=killed_at)) == (LIMIT, LIMIT, LIMIT)
    # the stamps miss nothing; looking counts for what it is worth only if it looked often, on a busy machine too
    assert sampler.per_second > SAMPLES_PER_SECOND / 2


async def test_without_the_limit_in_the_claim_the_same_check_fails(stack: RunningStack, api: Api) -> None:
    """The control: what the test above sees comes from that clause, and it would see its absence."""
    await widen(api)
    file = stack.signalbox.work / unique("stamps")
    async with stack.as_program(EXECUTOR, "no_plan_limit.py"):
        plan = {"name": "without a limit", "items": items(stack, file, 40), "rules": {"limit": LIMIT}}
        with sampled() as sampler:
            requested = await api.ask("POST", "/plans", plan)
            await api.ended(requested["id"], seconds=60)
    assert sampler.peak > LIMIT
    assert peak_of(stamps(file)) > LIMIT
