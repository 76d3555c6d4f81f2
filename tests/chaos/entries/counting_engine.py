"""The scripted engine, which also writes down every submit it dropped because the run was there already."""

import argparse
import asyncio
from pathlib import Path

from aiohttp import web

from signalbox_executor.engines.scripted.script import Script
from signalbox_executor.engines.scripted.server import Server, serve

arguments = argparse.ArgumentParser()
arguments.add_argument("--folder", type=Path, required=True)
arguments.add_argument("--port", type=int, required=True)
body = arguments.parse_args()
_accept = Server._accept  # pyright: ignore[reportPrivateUsage]


async def accept_and_count(self: Server, run_key: str, script: Script) -> web.Response:
    response = await _accept(self, run_key, script)
    if response.status == 409:
        with (body.folder / "dropped").open("a") as file:
            file.write(f"{run_key}\n")
    return response


Server._accept = accept_and_count  # pyright: ignore[reportPrivateUsage]
asyncio.run(serve(body.folder, body.port))
