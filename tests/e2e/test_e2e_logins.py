"""200 people at once log in with wrong passwords beside normal traffic; Redis is killed, flushed and restarted."""

import asyncio
import json
import sys
import time
from pathlib import Path

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from signalbox_local.redis import RedisServer
from support.gateway import Gateway, running_gateway

ATTACKERS = 200
SECONDS = 25.0
CALLS = 400
MAX_GROWTH_MIB = 120
TESTS = Path(__file__).parents[1]


def resident_mib() -> float:
    """The memory of this process, which is the gateway's."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


async def p99(gateway: Gateway, calls: int) -> float:
    """The 99th percentile of reads, one after another, in milliseconds. Every one must be answered."""
    taken: list[float] = []
    for _ in range(calls):
        began = time.perf_counter()
        await gateway.ask("GET", "/plans?limit=10")
        taken.append((time.perf_counter() - began) * 1000)
    return sorted(taken)[int(len(taken) * 0.99)]


@pytest.mark.e2e
async def test_wrong_passwords_of_200_at_once_do_not_take_the_api_from_others(
    postgres_url: str, kafka_bootstrap: str, tmp_path: Path
) -> None:
    redis = RedisServer(tmp_path / "redis")
    redis.start()
    try:
        async with running_gateway(
            postgres_url, kafka_bootstrap, redis_url=SecretStr(redis.url), trusted_proxies="127.0.0.1"
        ) as gateway:
            await p99(gateway, 50)
            quiet, memory = await p99(gateway, CALLS), resident_mib()
            attack = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "support.login_attack", gateway.url, str(ATTACKERS), str(SECONDS), cwd=TESTS,
                stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            under_attack = await p99(gateway, CALLS)
            disturbed_p99, disturbed = await asyncio.gather(p99(gateway, CALLS), disturb(redis))
            out, _ = await attack.communicate()
            seen = {int(status): count for status, count in json.loads(out).items()}
            print(f"\np99 quiet {quiet:.1f} ms, under attack {under_attack:.1f} ms, {disturbed} {disturbed_p99:.1f} ms")
            print(f"answers to the attackers {seen}")
            print(f"memory {memory:.0f} MiB before, {resident_mib():.0f} MiB after")
            assert set(seen) <= {401, 429}, "no 5xx, nobody is let in"
            assert seen[429] > 0
            assert resident_mib() - memory < MAX_GROWTH_MIB
            assert (await gateway.request("GET", "/me")).status == 200
    finally:
        redis.stop()


async def disturb(redis: RedisServer) -> str:
    """Kill Redis, start it again, and empty it, all in the middle of the attack."""
    await asyncio.sleep(2)
    await asyncio.to_thread(redis.kill)
    await asyncio.sleep(2)
    await asyncio.to_thread(redis.start)
    async with Redis.from_url(redis.url) as connection:
        await connection.flushall()
    return "Redis killed, restarted, flushed"
