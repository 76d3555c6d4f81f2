"""`python -m engines.process.submitter FOLDER TASK_ID TEXT`: submit one run and wait, to be killed."""

import asyncio
import sys
from pathlib import Path
from uuid import UUID

from engines.process.stand import ProcessStand


async def main(folder: Path, task_id: UUID, text: str) -> None:
    stand = ProcessStand(folder)
    stand.engine = await stand.open()
    print(await stand.engine.submit(stand.shell(text, task=task_id)), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), UUID(sys.argv[2]), sys.argv[3]))
