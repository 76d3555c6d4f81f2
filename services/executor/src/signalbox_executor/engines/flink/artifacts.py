"""JARs: fetched from where users keep them, pinned by SHA-256, kept in the blob store.

Keys and values are those of `signalbox_contracts.artifacts`.
"""

import asyncio
import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import aiohttp

from signalbox_chassis.blobs import BlobExists, Blobs
from signalbox_chassis.runtime.clock import Clock
from signalbox_chassis.security.egress import AddressRefused
from signalbox_contracts.artifacts import Pin, artifact_key, pin_key, pin_number, pins_folder
from signalbox_executor.engines.flink.rest import OpenSession

FETCH_TRIES: Final = 3
CHUNK_BYTES: Final = 1 << 20
_SECONDS_BETWEEN: Final = 1.0


class JarRefused(Exception):
    """This JAR cannot be used; the reason names the URL and what is wrong."""


class _FetchFailed(Exception):
    """A try that failed in a way that may pass."""


@dataclass(frozen=True, slots=True)
class StoredJar:
    """A JAR in the blob store."""

    sha256: str
    bytes: int

    @property
    def key(self) -> str:
        return artifact_key(self.sha256)


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """How large a JAR may be, and how long fetching one may take."""

    max_bytes: int = 512 * 1024 * 1024
    seconds: float = 600.0


class Artifacts:
    """Pins and JARs. Two callers at once get the same pin; a JAR is fetched once however many wait for it."""

    def __init__(
        self, blobs: Blobs, open_session: OpenSession, clock: Clock, limits: FetchLimits = FetchLimits()
    ) -> None:
        self._blobs = blobs
        self._open = open_session
        self._clock = clock
        self._limits = limits
        self._fetching: dict[str, asyncio.Task[StoredJar]] = {}

    async def close(self) -> None:
        for task in list(self._fetching.values()):
            task.cancel()
        await asyncio.gather(*self._fetching.values(), return_exceptions=True)

    async def pinned(self, scope: str, url: str, sha256: str | None = None) -> Pin:
        """The pin in force; the first caller pins what the URL gives, and only `sha256` if that is given.

        Raises `JarRefused`.
        """
        if sha256 is not None:
            jar = await self._stored(sha256) or await self.fetch(url)
            if jar.sha256 != sha256:
                raise JarRefused(f"{_shown(url)} has the checksum {jar.sha256}, and the job allows {sha256} alone")
            return Pin(url=url, sha256=jar.sha256, bytes=jar.bytes, pinned_at=self._clock.now())
        return await self._newest(scope) or await self._pin(scope, await self.fetch(url), url, number=1)

    async def pin_anew(self, scope: str, url: str) -> Pin:
        """Fetch the URL again and pin what it gives now. Raises `JarRefused`."""
        jar = await self.fetch(url)
        last = max((pin_number(blob.key) for blob in await self._blobs.list(pins_folder(scope))), default=0)
        return await self._pin(scope, jar, url, number=last + 1)

    async def fetch(self, url: str) -> StoredJar:
        """The JAR a URL gives now, in the blob store. Goes on when the caller is cancelled. Raises `JarRefused`."""
        task = self._fetching.get(url)
        if task is None:
            task = self._fetching[url] = asyncio.create_task(self._fetch(url), name=f"fetch {url}")
            task.add_done_callback(lambda ended: self._fetched(url, ended))
        return await asyncio.shield(task)

    def _fetched(self, url: str, ended: asyncio.Task[StoredJar]) -> None:
        self._fetching.pop(url, None)
        if not ended.cancelled():
            ended.exception()  # whoever still waits gets it; nobody may

    async def _fetch(self, url: str) -> StoredJar:
        reason = ""
        for number in range(FETCH_TRIES):
            if number:
                await asyncio.sleep(_SECONDS_BETWEEN * 2**number)
            try:
                with TemporaryDirectory(prefix="signalbox-jar-") as folder:
                    path = Path(folder) / "fetched.jar"
                    async with asyncio.timeout(self._limits.seconds):
                        jar = await self._download(url, path)
                    await asyncio.to_thread(_check_is_jar, url, path)
                    if await self._stored(jar.sha256) is None:
                        await self._blobs.write_file(jar.key, path)
                    return jar
            except AddressRefused as refused:
                raise JarRefused(str(refused)) from None
            except (_FetchFailed, aiohttp.ClientError, TimeoutError, OSError) as error:
                reason = str(error) or type(error).__name__
        raise JarRefused(f"{_shown(url)} could not be fetched, {FETCH_TRIES} times: {reason}")

    async def _download(self, url: str, path: Path) -> StoredJar:
        """Write the JAR to a file, never more than the limit of it in memory or on disk."""
        digest, size = hashlib.sha256(), 0
        async with self._open() as session, session.get(url) as response:
            if response.status in (408, 425, 429) or response.status >= 500:
                raise _FetchFailed(f"status {response.status}")
            if response.status != 200:
                raise JarRefused(f"{_shown(url)} answers status {response.status}")
            if (response.content_length or 0) > self._limits.max_bytes:
                raise self._too_large(url)
            with path.open("wb") as file:
                async for chunk in response.content.iter_chunked(CHUNK_BYTES):
                    size += len(chunk)
                    if size > self._limits.max_bytes:
                        raise self._too_large(url)
                    digest.update(chunk)
                    await asyncio.to_thread(file.write, chunk)
        return StoredJar(digest.hexdigest(), size)

    def _too_large(self, url: str) -> JarRefused:
        allowed = self._limits.max_bytes / 1024 / 1024
        return JarRefused(
            f"{_shown(url)} is larger than {allowed:g} MiB; an operator sets SIGNALBOX_FLINK_JAR_MAX_BYTES"
        )

    async def _stored(self, sha256: str) -> StoredJar | None:
        size = await self._blobs.size(StoredJar(sha256, 0).key)
        return None if size is None else StoredJar(sha256, size)

    async def _newest(self, scope: str) -> Pin | None:
        last = max((pin_number(blob.key) for blob in await self._blobs.list(pins_folder(scope))), default=0)
        return Pin.model_validate_json(await self._blobs.read(pin_key(scope, last))) if last else None

    async def _pin(self, scope: str, jar: StoredJar, url: str, *, number: int) -> Pin:
        """Write a pin; where another caller was first, that one's."""
        pin = Pin(url=url, sha256=jar.sha256, bytes=jar.bytes, pinned_at=self._clock.now())
        try:
            await self._blobs.write(pin_key(scope, number), pin.model_dump_json().encode())
        except BlobExists:
            return await self._newest(scope) or pin
        return pin


def _shown(url: str) -> str:
    """A URL for people: its query may be a credential."""
    return url.partition("?")[0][:300]


def _check_is_jar(url: str, path: Path) -> None:
    """Raises `JarRefused` for what is no archive of classes."""
    try:
        with zipfile.ZipFile(path) as archive:
            if any(name.endswith(".class") for name in archive.namelist()):
                return
    except (zipfile.BadZipFile, OSError, ValueError):
        with path.open("rb") as file:
            raise JarRefused(f"{_shown(url)} is no JAR: it begins with {file.read(16)!r}") from None
    raise JarRefused(f"{_shown(url)} is no JAR: it has no class in it")
