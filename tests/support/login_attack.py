"""`python -m support.login_attack URL COUNT SECONDS`: wrong passwords from COUNT addresses at once, again and again.

Prints the answers by status as JSON. Each attacker waits a second after an answer.
"""

import asyncio
import json
import sys
import time
from collections import Counter

import aiohttp

PAUSE_SECONDS = 1.0


async def main(url: str, count: int, seconds: float) -> Counter[int]:
    """Attack a login until the time is over; how often each status was answered."""
    seen: Counter[int] = Counter()
    until = time.monotonic() + seconds

    async def attacker(session: aiohttp.ClientSession, number: int) -> None:
        body = {"username": f"victim{number % 20}", "password": "wrong words, all of them"}
        headers = {"X-Forwarded-For": f"198.51.{number // 250}.{number % 250}"}
        while time.monotonic() < until:
            async with session.post(f"{url}/api/v1/auth/login", json=body, headers=headers) as answer:
                await answer.read()
                seen[answer.status] += 1
            await asyncio.sleep(PAUSE_SECONDS)

    connector = aiohttp.TCPConnector(limit=count)
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(attacker(session, number))
    return seen


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))))
