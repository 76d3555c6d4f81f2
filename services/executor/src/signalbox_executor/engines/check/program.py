"""The program of one check: asks until the answer is yes or the time is over. Its one argument is JSON.

It is its own process, under the supervisor of the process engine: so a check survives its executor, ends when it is
cancelled, and is asked by one program only. Exit code 0: yes. 1: no. 2: it can never be asked.
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Final

from signalbox_chassis.security.egress import EgressGuard
from signalbox_contracts.definitions.work import CheckWork
from signalbox_executor.engines.check.probes import InvalidCheck, Limits, NotReady, probe

MAX_DETAIL: Final = 500


async def ask(work: CheckWork, limits: Limits) -> tuple[bool, str, int]:
    """Whether the answer became yes, what was found last, and how many times it was asked."""
    end_at = time.monotonic() + work.wait_seconds
    tries = 0
    while True:
        tries += 1
        try:
            async with asyncio.timeout(work.timeout_seconds):
                return True, await probe(work.check, limits), tries
        except NotReady as error:
            found = str(error)
        except TimeoutError:
            found = f"no answer within {work.timeout_seconds:g} s"
        print(found[:MAX_DETAIL], flush=True)
        left = end_at - time.monotonic()
        if left <= 0:
            return False, found, tries
        await asyncio.sleep(min(work.every_seconds, left))


def main() -> int:
    wanted: dict[str, Any] = json.loads(sys.argv[1])
    work = CheckWork.model_validate(wanted["work"])
    limits = Limits(guard=EgressGuard(wanted["allow"]), folders=tuple(map(Path, wanted["folders"])))
    print(f"check {work.check.type} began", flush=True)
    try:
        # not `asyncio.run`: it would wait for a thread that hangs in a file, on a network drive or in a pipe
        ready, found, tries = asyncio.new_event_loop().run_until_complete(ask(work, limits))
    except InvalidCheck as error:
        ready, found, tries = False, f"{error.field}: {error}", 1
    print(found[:MAX_DETAIL], flush=True)
    result = {"ready": ready, "found": found[:MAX_DETAIL], "tries": tries}
    Path(os.environ["SIGNALBOX_RESULT"]).write_text(json.dumps(result))
    return 0 if ready else 1


if __name__ == "__main__":
    os._exit(main())  # nor would the interpreter end before such a thread
