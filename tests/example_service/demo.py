"""`make demo`: the example service on the real stack, one of its two processes killed in mid-batch; then the count.

Exits with 1 unless every command had its effect exactly once and in order. It reads the addresses of the stack from the
environment, as any service does, and leaves its schema and topics behind for a look.
"""

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from opentelemetry.trace import format_trace_id
from rich.console import Console
from rich.table import Table

from example_service.messages import COUNTERS
from signalbox_chassis.telemetry import Telemetry
from support.stand import Stand, commands, make_stand

COUNTERS_USED, EACH = 50, 60
TOTAL = COUNTERS_USED * EACH
say = Console(stderr=True).print


async def work_and_kill(stand: Stand) -> float:
    """Give the commands to two processes, kill one in mid-batch, start another; returns the seconds it took."""
    doomed = stand.spawn(SIGNALBOX_CRASH_AT="work.before_commit:4", SIGNALBOX_BATCH_MAX_MESSAGES="50")
    survivor = stand.spawn(SIGNALBOX_BATCH_MAX_MESSAGES="50")
    started = time.monotonic()
    say(f"giving {TOTAL:,} commands for {COUNTERS_USED} counters to two processes ({doomed.pid}, {survivor.pid}) …")
    await stand.publish(commands(COUNTERS_USED, EACH))
    code = await asyncio.to_thread(doomed.wait, 60)
    done = await stand.value("SELECT count(*) FROM entry")
    say(f"process {doomed.pid} died of {signal.Signals(-code).name} inside a transaction, {done:,} effects committed")
    await stand.until_entries(TOTAL)
    await stand.until_sent()
    return time.monotonic() - started


async def trace_one(stand: Stand, otlp: str) -> str:
    """One traced command; returns its trace id."""
    click = Telemetry("demo", otlp_endpoint=otlp)
    with click.tracer.start_as_current_span("click") as root:
        await stand.accept(commands(1, 1, first=EACH))
    click.stop()
    await stand.until_entries(TOTAL + 1)
    await stand.until_sent()
    return format_trace_id(root.get_span_context().trace_id)


async def spans(otlp: str, trace_id: str, *, at_least: int = 5, seconds: float = 20) -> list[dict[str, str]]:
    give_up_at = time.monotonic() + seconds
    while time.monotonic() < give_up_at:
        found = await asyncio.to_thread(fetch, f"{otlp}/traces/{trace_id}")
        if len(found) >= at_least:
            return found
        await asyncio.sleep(0.2)
    return []


def fetch(address: str) -> list[dict[str, str]]:
    """The spans at the local receiver's address; none while it does not know the trace."""
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return json.load(answer)
    except OSError:
        return []


async def report(stand: Stand, seconds: float) -> bool:
    entries = await stand.entries()
    exact = sum(numbers[:EACH] == list(range(EACH)) for numbers in entries.values())
    answers = await stand.read_all(COUNTERS)
    table = Table("what", "count", title=f"{TOTAL:,} commands, one process killed, {seconds:.1f} s")
    table.add_row("effects committed", f"{sum(map(len, entries.values())):,}")
    table.add_row("counters with every effect once and in order", f"{exact} of {COUNTERS_USED}")
    table.add_row("answers on Kafka (a relay that dies may repeat one)", f"{len(answers):,}")
    table.add_row("messages parked", str(await stand.value("SELECT count(*) FROM dead_letter")))
    Console().print(table)
    return exact == COUNTERS_USED


async def main() -> int:
    env = os.environ
    bootstrap, database = env["SIGNALBOX_KAFKA_BOOTSTRAP"], env["SIGNALBOX_DATABASE_URL"]
    otlp = env.get("SIGNALBOX_OTLP_ENDPOINT", "")
    with tempfile.TemporaryDirectory() as folder:
        stand = await make_stand(bootstrap, database, Path(folder), otlp_endpoint=otlp)
        try:
            seconds = await work_and_kill(stand)
            trace_id = await trace_one(stand, otlp) if otlp else ""
            exact = await report(stand, seconds)
            found = await spans(otlp, trace_id) if otlp else []
        finally:
            stand.stop_children()
    for span in sorted(found, key=lambda one: int(one["start_ns"])):
        say(f"  {span['service']:>8}  {span['name']}")
    say(
        f"schema and topics: {stand.schema}",
        f"trace: {otlp}/traces/{trace_id}",
        "`make down` stops the stack",
        sep="\n",
    )
    return 0 if exact and (found or not otlp) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
