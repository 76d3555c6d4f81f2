"""One probe a kind of check: returns what it found, or raises `NotReady` with the reason. Each call is bounded."""

import asyncio
import json
import os
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, cast

import aiohttp

from signalbox_chassis.security.egress import AddressRefused, EgressGuard
from signalbox_contracts.definitions.work import (
    Check,
    FileCheck,
    HttpCheck,
    NameNodeCheck,
    PostgresCheck,
    ProcessCheck,
    S3Check,
    TcpCheck,
)

MAX_BODY_BYTES: Final = 65_536
MAX_JMX_BYTES: Final = 1_048_576
MAX_NUMBER_BYTES: Final = 64
_JMX: Final = "/jmx?qry=Hadoop:service=NameNode,name=FSNamesystemState"
_S3_URL: Final = re.compile(r"s3://(?P<bucket>[A-Za-z0-9][A-Za-z0-9.-]{1,61}[A-Za-z0-9])/(?P<key>\S+)")
_NOT_READY_CODES: Final = frozenset({b"57P03"})
"""PostgreSQL's `cannot_connect_now`: it starts up, shuts down or recovers. Any other error is an answer."""


class NotReady(Exception):
    """The answer is no, for now; the text says why."""


class InvalidCheck(ValueError):
    """The check can never be carried out here. `field` is relative to the work."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What the operator allows."""

    guard: EgressGuard
    folders: tuple[Path, ...] = ()
    environment: Mapping[str, str] | None = None
    """The operator's `AWS_*` variables; None: those of this process."""


def validate(check: Check, limits: Limits) -> None:
    """Refuse what can be refused without a call. Raises `InvalidCheck`."""
    match check:
        case HttpCheck() | NameNodeCheck():
            try:
                limits.guard.check_url(check.url)
            except AddressRefused as error:
                raise InvalidCheck("check.url", error.reason) from None
        case FileCheck():
            _allowed_path("check.path", check.path, limits)
        case ProcessCheck():
            _allowed_path("check.pid_file", check.pid_file, limits)
            if check.exit_code_file is not None:
                _allowed_path("check.exit_code_file", check.exit_code_file, limits)
        case S3Check():
            _bucket_and_key(check.url)
        case TcpCheck() | PostgresCheck():
            try:
                check.host.encode("idna")
            except UnicodeError:
                reason = f"{check.host[:200]!r} is not allowed: up to 63 characters between two dots are"
                raise InvalidCheck("check.host", reason) from None


async def probe(check: Check, limits: Limits) -> str:
    """What was found, in a few words. Raises `NotReady`, and `InvalidCheck` as `validate` does."""
    validate(check, limits)
    try:
        return await _probe(check, limits)
    except AddressRefused as error:
        raise NotReady(error.reason) from None
    except (OSError, aiohttp.ClientError, TimeoutError) as error:
        raise NotReady(_first_line(error)) from None


async def _probe(check: Check, limits: Limits) -> str:
    match check:
        case HttpCheck():
            return await _http(check, limits)
        case TcpCheck():
            return await _tcp(check, limits)
        case PostgresCheck():
            return await _postgres(check, limits)
        case NameNodeCheck():
            return await _name_node(check, limits)
        case FileCheck():
            return _size(await asyncio.to_thread(_file_bytes, check, limits), check.min_bytes, check.path)
        case S3Check():
            return _size(await _object_bytes(check), check.min_bytes, check.url)
        case ProcessCheck():
            return await asyncio.to_thread(_process, check, limits)


async def _http(check: HttpCheck, limits: Limits) -> str:
    async with limits.guard.session() as session, session.get(check.url, max_redirects=5) as answer:
        good = answer.status in check.status if check.status else 200 <= answer.status < 300
        if not good:
            wanted = ", ".join(map(str, check.status)) or "200 to 299"
            raise NotReady(f"it answered {answer.status}: allowed is {wanted}")
        if check.contains:
            body = await _read(answer, MAX_BODY_BYTES, cut=True)
            if check.contains.encode() not in body:
                raise NotReady(f"the first {len(body)} bytes of its answer do not contain {check.contains[:100]!r}")
        return f"it answered {answer.status}"


async def _read(answer: aiohttp.ClientResponse, limit: int, *, cut: bool = False) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_chunked(16_384):
        body += chunk
        if len(body) >= limit:
            if cut:
                return bytes(body[:limit])
            raise NotReady(f"its answer has more than {limit} bytes")
    return bytes(body)


async def _connect(host: str, port: int, limits: Limits) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to the very addresses that the guard has seen, one after the other."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=1)  # SOCK_STREAM
    addresses = list(dict.fromkeys(str(one[4][0]) for one in found))[:10]
    for address in addresses:
        limits.guard.check_address(host, address, port)
    failure: OSError = OSError(f"{host} has no address")
    for address in addresses:
        try:
            return await asyncio.open_connection(address, port, limit=MAX_BODY_BYTES)
        except OSError as error:
            failure = error
    raise failure


async def _tcp(check: TcpCheck, limits: Limits) -> str:
    _, writer = await _connect(check.host, check.port, limits)
    writer.close()
    return f"{check.host}:{check.port} accepts connections"


async def _postgres(check: PostgresCheck, limits: Limits) -> str:
    """Send a start-up message of protocol 3.0, and read the first message of the answer."""
    reader, writer = await _connect(check.host, check.port, limits)
    try:
        parameters = b"user\0signalbox\0database\0postgres\0\0"
        writer.write(struct.pack("!ii", 8 + len(parameters), 196_608) + parameters)
        await writer.drain()
        kind, length = struct.unpack("!ci", await reader.readexactly(5))
        if kind not in (b"R", b"E") or not 4 <= length <= MAX_BODY_BYTES:
            raise NotReady("what answers there is no PostgreSQL server")
        if kind == b"E":
            fields = (await reader.readexactly(length - 4)).split(b"\0")
            codes = {one[1:] for one in fields if one[:1] == b"C"}
            if codes & _NOT_READY_CODES:
                text = next((one[1:] for one in fields if one[:1] == b"M"), b"")
                raise NotReady(f"it does not accept connections: {text.decode(errors='replace')[:200]}")
    except asyncio.IncompleteReadError:
        raise NotReady("it closed the connection without an answer") from None
    finally:
        writer.close()
    return f"{check.host}:{check.port} accepts connections"


async def _name_node(check: NameNodeCheck, limits: Limits) -> str:
    async with limits.guard.session() as session, session.get(check.url.rstrip("/") + _JMX) as answer:
        if answer.status != 200:
            raise NotReady(f"its JMX page answered {answer.status}")
        body = await _read(answer, MAX_JMX_BYTES)
    live, state = read_jmx(body)
    if state != "Operational" and not check.allow_safe_mode:
        raise NotReady(f"the NameNode is in state {state!r}, not Operational")
    if live < check.min_live_datanodes:
        raise NotReady(f"{live} DataNodes live: {check.min_live_datanodes} are needed")
    return f"the NameNode is {state}, {live} DataNodes live"


def read_jmx(body: bytes) -> tuple[int, str]:
    """Live DataNodes and state, from the bean FSNamesystemState. Raises `NotReady`. Hadoop 3.2 and 3.3 answer so."""
    try:
        found: Any = json.loads(body)
    except (ValueError, RecursionError):
        raise NotReady("its JMX page is no JSON") from None
    beans: Any = cast("dict[str, Any]", found).get("beans") if isinstance(found, dict) else None
    for bean in cast("list[Any]", beans) if isinstance(beans, list) else ():
        if isinstance(bean, dict):
            values = cast("dict[str, Any]", bean)
            live, state = values.get("NumLiveDataNodes"), values.get("FSState")
            if isinstance(live, int) and isinstance(state, str):
                return live, state[:50]
    raise NotReady("its JMX page has no bean FSNamesystemState: is it a NameNode?")


def _allowed_path(field: str, path: str, limits: Limits) -> Path:
    """The real path, below a folder that the operator allows. Raises `InvalidCheck`."""
    if "\0" in path or not Path(path).is_absolute():
        raise InvalidCheck(field, f"{path[:200]!r} is not allowed: an absolute path is")
    real = Path(os.path.realpath(path))
    roots = [Path(os.path.realpath(folder)) for folder in limits.folders]
    if not any(real.is_relative_to(root) for root in roots):
        names = ", ".join(map(str, limits.folders)) or "none"
        reason = f"allowed folders are {names} (SIGNALBOX_PROCESS_WORKING_FOLDERS)"
        raise InvalidCheck(field, f"{path[:200]!r} is not allowed: {reason}")
    return real


def _file_bytes(check: FileCheck, limits: Limits) -> int | None:
    path = _allowed_path("check.path", check.path, limits)
    return path.stat().st_size if path.is_file() else None


def _bucket_and_key(url: str) -> tuple[str, str]:
    found = _S3_URL.fullmatch(url)
    if found is None:
        raise InvalidCheck("check.url", f"{url[:200]!r} is not allowed: s3://bucket/key is")
    return found["bucket"], found["key"]


async def _object_bytes(check: S3Check) -> int | None:
    from obstore.exceptions import BaseError  # slow to import, and needed by one kind of check only
    from obstore.store import S3Store

    bucket, key = _bucket_and_key(check.url)
    try:
        retries: Any = {"max_retries": 0, "retry_timeout": timedelta(seconds=5)}
        store = S3Store(bucket, retry_config=retries, client_options={"allow_http": True})
        found = await store.head_async(key)
    except FileNotFoundError:
        return None
    except BaseError as error:
        raise NotReady(_first_line(error)) from None
    return int(found["size"])


def _size(found: int | None, wanted: int, name: str) -> str:
    if found is None:
        raise NotReady(f"{name} is not there")
    if found < wanted:
        raise NotReady(f"{name} has {found} bytes: {wanted} are needed")
    return f"{name} is there, {found} bytes"


def _process(check: ProcessCheck, limits: Limits) -> str:
    pid = _number(_allowed_path("check.pid_file", check.pid_file, limits))
    if pid is not None and pid > 0 and _alive(pid):
        return f"process {pid} is alive"
    if check.exit_code_file is not None:
        code = _number(_allowed_path("check.exit_code_file", check.exit_code_file, limits))
        if code == 0:
            return "it ended with exit code 0"
        if code is not None:
            raise NotReady(f"it ended with exit code {code}")
    raise NotReady(f"{check.pid_file} has no process number" if pid is None else f"process {pid} is not alive")


def _alive(pid: int) -> bool:
    """Whether it runs; a process that ended and was not waited for does not."""
    try:
        with Path(f"/proc/{pid}/stat").open("rb") as file:
            state = file.read(4096).rpartition(b")")[2].split()[:1]
    except OSError:
        return False
    return state not in ([b"Z"], [b"X"])


def _number(path: Path) -> int | None:
    try:
        with path.open("rb") as file:
            return int(file.read(MAX_NUMBER_BYTES))
    except (OSError, ValueError):
        return None


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
