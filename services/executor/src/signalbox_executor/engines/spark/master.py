"""A standalone master: its REST server, its web pages, and the pages of its workers. One method a call."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlsplit

from signalbox_executor.engines.port import EngineRefused, EngineUnavailable, bounded
from signalbox_executor.engines.spark.answers import DRIVER_ID, Cluster, Submitted
from signalbox_executor.engines.spark.http import SparkHttp

LAUNCH_BYTES: Final = 65_536
_HEADER: Final = re.compile(rb"^==== Bytes (\d+)-(\d+) of (\d+) of [^\n]*====\n")
_GONE: Final = re.compile(rb"^(Error: |java\.|No such )")


@dataclass(frozen=True, slots=True)
class LogPart:
    """A piece of a worker's log file, and how large the file is."""

    data: bytes
    size: int


class Master:
    """One master. `web_url` has its pages; None: port 8080 of the host of `url`."""

    def __init__(self, http: SparkHttp, name: str, url: str, web_url: str | None = None) -> None:
        self._http = http
        self._name = name
        self._rest = url.rstrip("/") + "/v1/submissions"
        self.web_url = (web_url or default_web_url(url)).rstrip("/")

    async def close(self) -> None:
        await self._http.close()

    async def cluster(self) -> Cluster:
        """Workers and drivers, in one call."""
        found = await self._http.get(f"{self.web_url}/json/", Cluster)
        if found.status and found.status != "ALIVE":
            raise EngineUnavailable(self._name, f"the master is {found.status}: it is not in charge now")
        return found

    async def create(self, request: Mapping[str, Any]) -> str:
        """Submit a driver; its id. The same request again is a second driver."""
        status, body = await self._http.call("POST", f"{self._rest}/create", json=request)
        if status == 400:
            answer = self._http.read(Submitted, body)
            raise EngineRefused(self._name, bounded(answer.message.partition("\n")[0]))
        answer = self._http.read(Submitted, self._http.expect(status, body, 200))
        if not answer.success or not answer.submission_id:
            # such as "Can only accept driver submissions in ALIVE state": another master may be in charge
            raise EngineUnavailable(self._name, bounded(answer.message or "the driver was not accepted"))
        if not re.fullmatch(DRIVER_ID, answer.submission_id):
            raise EngineUnavailable(self._name, f"an answer that names no driver: {answer.submission_id!r}")
        return answer.submission_id

    async def status(self, driver: str) -> Submitted | None:
        """One driver; None if the master does not know it."""
        answer = await self._http.get(f"{self._rest}/status/{quote(driver, safe='')}", Submitted)
        return answer if answer.success and answer.driver_state else None

    async def version(self) -> str:
        """The master's version, by its REST server."""
        return (await self._http.get(f"{self._rest}/status/none", Submitted)).server_version

    async def kill(self, driver: str) -> None:
        """Ask for the end of a driver; one that ended or is not known is left as it is."""
        status, body = await self._http.call("POST", f"{self._rest}/kill/{quote(driver, safe='')}")
        self._http.read(Submitted, self._http.expect(status, body, 200))

    async def log(self, worker_url: str, driver: str, name: str, offset: int, limit: int) -> LogPart | None:
        """A piece of `stdout` or `stderr` of a driver; None where its worker has no such file."""
        url = f"{worker_url.rstrip('/')}/log/?driverId={quote(driver, safe='')}&logType={name}"
        status, body = await self._http.call("GET", f"{url}&offset={offset}&byteLength={limit}")
        header = _HEADER.match(body)
        if status != 200 or header is None:
            return None
        start, _, size = (int(number) for number in header.groups())
        # a page that begins before the offset is one that a worker moved: it shows the last bytes of a shorter file
        return LogPart(body[header.end() :][max(offset - start, 0) :], size)

    async def launch_line(self, worker_url: str, driver: str) -> str:
        """The command that started a driver, with every Spark property; empty where it cannot be read."""
        part = await self.log(worker_url, driver, "stderr", 0, LAUNCH_BYTES)
        return part.data.partition(b"\n")[0].decode(errors="replace") if part else ""


def default_web_url(url: str) -> str:
    """Where a master's pages are unless somebody moved them."""
    return f"http://{_host(url)}:8080"


def default_master_url(url: str) -> str:
    """Where a master takes drivers and executors unless somebody moved it."""
    return f"spark://{_host(url)}:7077"


def _host(url: str) -> str:
    host = urlsplit(url).hostname or "localhost"
    return f"[{host}]" if ":" in host else host
