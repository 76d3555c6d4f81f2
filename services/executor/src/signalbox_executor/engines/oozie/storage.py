"""What is in a directory: how many files, how large, and the newest one, by WebHDFS or on this host's file system."""

import asyncio
import os
import stat
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import unquote, urlsplit

import aiohttp
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from yarl import URL

from signalbox_chassis.security.egress import AddressRefused

MAX_ENTRIES: Final = 10_000
MAX_FOLDERS: Final = 200
"""Directories of HDFS that are listed for the newest file below one; each is a call."""
MAX_BYTES: Final = 16 * 1024 * 1024
_SHOWN: Final = 200


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Summary(_Answer):
    length: int
    files: Annotated[int, Field(alias="fileCount")]


class _SummaryAnswer(_Answer):
    """WebHDFS `GETCONTENTSUMMARY`."""

    summary: Annotated[_Summary, Field(alias="ContentSummary")]


class _File(_Answer):
    name: Annotated[str, Field(alias="pathSuffix")] = ""
    modified: Annotated[int, Field(alias="modificationTime")] = 0
    type: str = "FILE"


class _Files(_Answer):
    files: Annotated[tuple[_File, ...], Field(alias="FileStatus")] = ()


class _ListAnswer(_Answer):
    """WebHDFS `LISTSTATUS`."""

    statuses: Annotated[_Files, Field(alias="FileStatuses")] = _Files()


class Storage:
    """Looks into directories; it never changes anything, and never raises: what it cannot see it names."""

    def __init__(
        self,
        *,
        session: Callable[[], aiohttp.ClientSession],
        webhdfs_url: str | None = None,
        user: str = "",
        local_files: bool = False,
    ) -> None:
        self._session = session
        self._webhdfs = webhdfs_url
        self._user = user
        self._local_files = local_files

    async def describe(self, uri: str) -> str:
        """The content of a directory in one line."""
        parts = urlsplit(uri)
        path = unquote(parts.path) or "/"
        try:
            if parts.scheme == "file" and self._local_files:
                return await asyncio.to_thread(_describe_folder, Path(path))
            if parts.scheme in ("hdfs", "webhdfs", "viewfs") and self._webhdfs:
                return await self._describe_hdfs(path)
        except (OSError, aiohttp.ClientError, TimeoutError, ValidationError, AddressRefused) as error:
            return f"its content cannot be read: {type(error).__name__}: {error}"[:_SHOWN]
        return "its content is not known: the engine's connection has no access to it"

    async def _describe_hdfs(self, path: str) -> str:
        async with self._session() as session:
            summary = await self._read(session, path, "GETCONTENTSUMMARY")
            if summary is None:
                return "does not exist"
            content = _SummaryAnswer.model_validate_json(summary).summary
            newest, all_seen = await self._newest(session, path)
        line = _line(content.files, content.length, newest)
        return line if all_seen else line.replace("the newest", f"the newest in {MAX_FOLDERS} directories", 1)

    async def _newest(self, session: aiohttp.ClientSession, path: str) -> tuple[tuple[str, float] | None, bool]:
        """The newest file at any depth with its time in seconds, and whether every directory was looked into."""
        newest: tuple[str, float] | None = None
        folders, looked_into = [""], 0
        while folders and looked_into < MAX_FOLDERS:
            folder, looked_into = folders.pop(), looked_into + 1
            place = f"{path.rstrip('/')}/{folder}" if folder else path
            listed = await self._read(session, place, "LISTSTATUS")
            for file in _ListAnswer.model_validate_json(listed or b"{}").statuses.files:
                name = f"{folder}/{file.name}" if folder else file.name
                if file.type == "DIRECTORY":
                    folders.append(name)
                elif newest is None or file.modified / 1000 > newest[1]:
                    newest = (name, file.modified / 1000)
        return newest, not folders

    async def _read(self, session: aiohttp.ClientSession, path: str, operation: str) -> bytes | None:
        base = URL((self._webhdfs or "").rstrip("/")) / "webhdfs/v1" / path.lstrip("/")
        url = base.with_query({"op": operation, **({"user.name": self._user} if self._user else {})})
        async with session.get(url, allow_redirects=False) as response:
            if response.status == 404:
                return None
            response.raise_for_status()
            data = bytearray()  # one `read` gives only what has arrived
            async for chunk in response.content.iter_chunked(65_536):
                data += chunk
                if len(data) > MAX_BYTES:
                    raise OSError(f"an answer of more than {MAX_BYTES} bytes")
            return bytes(data)


def _describe_folder(folder: Path) -> str:
    if not folder.exists():
        return "does not exist"
    count, size, newest = 0, 0, None
    for name, found in _files(folder):
        count, size = count + 1, size + found.st_size
        if newest is None or found.st_mtime > newest[1]:
            newest = (name, found.st_mtime)
        if count >= MAX_ENTRIES:
            return f"at least {_line(count, size, newest)}"
    return _line(count, size, newest)


def _files(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """The regular files below a folder; links are not followed."""
    for place, _, names in os.walk(folder):
        for name in names:
            found = (Path(place) / name).lstat()
            if stat.S_ISREG(found.st_mode):
                yield str((Path(place) / name).relative_to(folder)), found


def _line(count: int, size: int, newest: tuple[str, float] | None) -> str:
    if newest is None:
        return f"{count} files, {size} bytes"
    at = datetime.fromtimestamp(newest[1], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"{count} files, {size} bytes, the newest is {newest[0][:_SHOWN]} of {at}"
