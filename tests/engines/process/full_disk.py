"""`python -m engines.process.full_disk FOLDER`: programs end while the file system of the run folders is full."""

import asyncio
import os
import sys
from pathlib import Path

from engines.harness import until
from engines.process.stand import ProcessStand


async def main(place: Path) -> None:
    async with ProcessStand.standing(place) as stand:
        runs = [stand.shell("until [ -e /proc/self/cwd/../../../go ]; do sleep 0.05; done; exit 0") for _ in range(4)]
        for run in runs:
            await stand.engine.submit(run)

        async def all_began() -> bool:
            return sum([await stand.starts(run.run_key) for run in runs]) == len(runs)

        await until(all_began, "all began")
        (stand.runs.parent / "go").touch()
        filler = os.open(place / "filler", os.O_CREAT | os.O_WRONLY)
        try:
            while True:
                os.write(filler, b"x" * 4096)
        except OSError:
            os.close(filler)
        ends = [await stand.end_of(run) for run in runs]
        starts = sum([await stand.starts(run.run_key) for run in runs])
        (place / "filler").unlink()
        good = sum(end.phase.value == "succeeded" for end in ends)
        print(f"{good} succeeded, {starts} starts" if good == 4 else [(end.phase, end.message) for end in ends])


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
