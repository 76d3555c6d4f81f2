"""`python -m signalbox_executor.engines.scripted.server --folder D --port 0`: prints its address, then serves.

    POST /runs                  {run_key, script, …}  201 started, 409 already there (both with the handle),
                                                      410 sealed, 422 refused, 429 later, 503 down
    POST /observe               {run_keys: […]}       {runs: {key: …}} of those it knows
    POST /runs/KEY/cancel                             202; 404 not known
    POST /runs/KEY/release                            for tests: 202, a held run may end; 404 not known
    POST /runs/KEY/seal                               200 with the handle of what runs, or null: sealed
    GET  /runs/KEY/log?offset=  &limit=               bytes
    GET  /starts, /counts                             for tests: every start accepted, calls by name
    POST /down                  {seconds}             for tests: 503 to everything but this, for so long

With `remembers_keys: false` each start is a run, known by its handle in place of KEY.

Nothing is answered before it is synced: every answer, a look too, waits for the journal.
"""

import argparse
import asyncio
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from aiohttp import web
from pydantic import Field, ValidationError
from pydantic_core import to_json

from signalbox_contracts.vocabulary import Seconds, Value
from signalbox_executor.engines.scripted.journal import Entry, FolderInUse, Journal
from signalbox_executor.engines.scripted.ledger import Ledger
from signalbox_executor.engines.scripted.script import Script

MAX_BYTES = 8 * 1024 * 1024


class Start(Value):
    run_key: str = Field(min_length=1, max_length=255)
    script: dict[str, Any] = Field(default_factory=dict)
    remembers_keys: bool = True


class Look(Value):
    run_keys: list[str] = Field(max_length=100_000)


class Down(Value):
    seconds: Seconds


class Server:
    """The HTTP face of a ledger."""

    def __init__(self, folder: Path) -> None:
        self._journal = Journal(folder)
        self._ledger = Ledger()
        for entry in self._journal.read():
            self._ledger.apply(entry)
        self._calls: Counter[str] = Counter()
        self._down_until = 0.0

    def application(self) -> web.Application:
        application = web.Application(client_max_size=MAX_BYTES, middlewares=[self._may_be_down])
        application.add_routes(
            [
                web.post("/runs", self.submit),
                web.post("/observe", self.observe),
                web.post("/runs/{run_key}/cancel", self.cancel),
                web.post("/runs/{run_key}/release", self.release),
                web.post("/runs/{run_key}/seal", self.seal),
                web.get("/runs/{run_key}/log", self.log),
                web.get("/starts", self.starts),
                web.get("/counts", self.counts),
                web.post("/down", self.down),
            ]
        )
        application.on_startup.append(self._open)
        application.on_cleanup.append(self._close)
        return application

    async def submit(self, request: web.Request) -> web.StreamResponse:
        self._calls["submit"] += 1
        start = Start.model_validate_json(await request.read())
        try:
            script = Script.model_validate(start.script)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            place = ".".join(["work.script", *map(str, first["loc"])])
            return answer(422, field=place, value=str(first["input"])[:200], reason=first["msg"])
        self._ledger.submits[start.run_key] += 1
        nth = self._ledger.submits[start.run_key]
        if (trouble := self._trouble(request, script, nth)) is not None:
            return trouble
        await asyncio.sleep(script.accept_delay_seconds)
        response = await (self._accept if start.remembers_keys else self._accept_copy)(start.run_key, script)
        if nth <= script.lose_answers:
            return lost(request)
        await asyncio.sleep(script.answer_delay_seconds)
        return response

    def _trouble(self, request: web.Request, script: Script, nth: int) -> web.Response | None:
        """What keeps this submit from being accepted."""
        if script.down_seconds and nth == 1:
            self._down_until = time.monotonic() + script.down_seconds
            return answer(503, reason="down")
        if nth <= script.lose_requests:
            return lost(request)
        if nth <= script.throttle:
            return answer(429, retry_after_seconds=script.throttle_seconds)
        if script.refuse and nth > script.refuse_after:
            return answer(422, field="work.script.refuse", value=script.refuse, reason=script.refuse)
        return None

    async def _accept(self, run_key: str, script: Script) -> web.Response:
        run = self._ledger.find(run_key, time.time())
        if run is None and run_key in self._ledger.sealed:
            await self._journal.synced()
            return answer(410)
        if run is None:
            self._change(self._ledger.start(run_key, script))
        await self._journal.synced()
        return answer(201 if run is None else 409, handle=self._ledger.runs[run_key].handle)

    async def _accept_copy(self, run_key: str, script: Script) -> web.Response:
        """One more run, whatever else was started for this key."""
        entry = self._ledger.start(run_key, script, copy=True)
        self._change(entry)
        await self._journal.synced()
        return answer(201, handle=entry["handle"])

    async def observe(self, request: web.Request) -> web.Response:
        self._calls["observe"] += 1
        keys = Look.model_validate_json(await request.read()).run_keys
        now = time.time()
        known = {key: run for key in keys if (run := self._ledger.find(key, now)) is not None}
        await self._journal.synced()
        return answer(200, runs={key: run.answer_at(now) for key, run in known.items()})

    async def cancel(self, request: web.Request) -> web.Response:
        self._calls["cancel"] += 1
        return await self._change_run("cancel", request.match_info["run_key"])

    async def release(self, request: web.Request) -> web.Response:
        return await self._change_run("release", request.match_info["run_key"])

    async def _change_run(self, change: str, run_key: str) -> web.Response:
        if self._ledger.find(run_key, time.time()) is None:
            return answer(404)
        self._change({"is": change, "run_key": run_key, "at": time.time()})
        await self._journal.synced()
        return answer(202)

    async def seal(self, request: web.Request) -> web.Response:
        self._calls["seal"] += 1
        run_key = request.match_info["run_key"]
        run = self._ledger.find(run_key, time.time())
        if run is None and run_key not in self._ledger.sealed:
            self._change({"is": "seal", "run_key": run_key})
        await self._journal.synced()
        return answer(200, handle=None if run is None else run.handle)

    async def log(self, request: web.Request) -> web.Response:
        self._calls["log"] += 1
        run = self._ledger.find(request.match_info["run_key"], time.time())
        offset, limit = int(request.query["offset"]), int(request.query["limit"])
        text = b"" if run is None else run.script.log.encode()
        return web.Response(body=text[offset : offset + limit])

    async def starts(self, _: web.Request) -> web.Response:
        return answer(200, starts=self._ledger.starts)

    async def counts(self, _: web.Request) -> web.Response:
        return answer(200, calls=self._calls, starts=self._ledger.accepted)

    async def down(self, request: web.Request) -> web.Response:
        self._down_until = time.monotonic() + Down.model_validate_json(await request.read()).seconds
        return answer(200)

    def _change(self, entry: Entry) -> None:
        self._ledger.apply(entry)
        self._journal.append(entry)

    @web.middleware
    async def _may_be_down(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if time.monotonic() < self._down_until and request.path not in ("/down", "/starts", "/counts"):
            return answer(503, reason="down")
        try:
            return await handler(request)
        except (ValidationError, KeyError, ValueError) as error:
            return answer(400, reason=str(error)[:2000])

    async def _open(self, _: web.Application) -> None:
        self._journal.start()

    async def _close(self, _: web.Application) -> None:
        await self._journal.close()


def answer(status: int, **body: Any) -> web.Response:
    return web.Response(status=status, body=to_json(body), content_type="application/json")


def lost(request: web.Request) -> web.Response:
    """No answer: the connection breaks."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


async def serve(folder: Path, port: int, host: str = "127.0.0.1") -> None:
    """Serve until SIGTERM or SIGINT."""
    runner = web.AppRunner(Server(folder).application(), access_log=None, handler_cancellation=False)
    await runner.setup()
    site = web.TCPSite(runner, host, port, backlog=1024)
    await site.start()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    address, bound = runner.addresses[0][:2]
    print(f"http://{address}:{bound}", flush=True)
    await stop.wait()
    await runner.cleanup()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description="the scripted engine")
    arguments.add_argument("--folder", type=Path, required=True, help="where its journal is kept")
    arguments.add_argument("--port", type=int, default=0, help="0 takes a free one")
    arguments.add_argument("--host", default="127.0.0.1", help="the address to listen on (127.0.0.1)")
    arguments = arguments.parse_args()
    try:
        asyncio.run(serve(arguments.folder, arguments.port, arguments.host))
    except FolderInUse as error:
        sys.exit(str(error))
