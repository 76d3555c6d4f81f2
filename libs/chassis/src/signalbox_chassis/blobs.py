"""The blob store: logs and artifacts, in a folder or in S3, through one library (obstore).

Keys are `/`-separated paths without `..`. Objects are written whole and never changed; what grows (a log) is written as
numbered chunks.
"""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError
from obstore.store import LocalStore, ObjectStore, S3Store

_KEY = re.compile(r"^(?!.*(^|/)\.\.?(/|$))[A-Za-z0-9._=@-]+(/[A-Za-z0-9._=@-]+)*$")


class BlobMissing(LookupError):
    """No blob has this key."""


class BlobExists(Exception):
    """A blob with this key is there already, and was left as it is."""


class BadBlobKey(ValueError):
    """A key outside `[A-Za-z0-9._=@-]` segments joined by `/`."""


@dataclass(frozen=True)
class Blob:
    key: str
    bytes: int
    modified_at: datetime


class Blobs:
    """One store. `url` is `file:///folder` (made if missing) or `s3://bucket/prefix`.

    S3 takes its credentials and endpoint from the usual `AWS_*` variables, or from `options` (obstore's `S3Config`).
    """

    def __init__(self, url: str, **options: Any) -> None:
        parts = urlsplit(url)
        self._store: ObjectStore
        if parts.scheme == "file":
            self._store = LocalStore(Path(parts.path), mkdir=True)
        elif parts.scheme == "s3":
            self._store = S3Store(parts.netloc, prefix=parts.path.strip("/") or None, **options)
        else:
            raise ValueError(f"blob store {url!r}: use file:///folder or s3://bucket/prefix")

    async def write(self, key: str, content: bytes, *, replace: bool = False) -> None:
        """Store a blob atomically; raises `BlobExists` unless `replace`."""
        try:
            await obstore.put_async(self._store, _checked(key), content, mode="overwrite" if replace else "create")
        except AlreadyExistsError:
            raise BlobExists(key) from None

    async def read(self, key: str) -> bytes:
        """The whole blob; raises `BlobMissing`."""
        try:
            answer = await obstore.get_async(self._store, _checked(key))
        except FileNotFoundError:
            raise BlobMissing(key) from None
        return bytes(await answer.bytes_async())

    async def stream(self, key: str, *, chunk_bytes: int = 1 << 20) -> AsyncIterator[bytes]:
        """The blob in chunks of about this size; raises `BlobMissing`."""
        try:
            answer = await obstore.get_async(self._store, _checked(key))
        except FileNotFoundError:
            raise BlobMissing(key) from None
        async for chunk in answer.stream(min_chunk_size=chunk_bytes):
            yield bytes(chunk)

    async def list(self, prefix: str) -> list[Blob]:
        """Blobs below a folder, by key."""
        found: list[Blob] = []
        async for page in obstore.list(self._store, prefix=_checked(prefix)):
            entries = cast("list[dict[str, Any]]", page)
            found += [Blob(entry["path"], entry["size"], entry["last_modified"]) for entry in entries]
        return sorted(found, key=lambda blob: blob.key)

    async def delete(self, key: str) -> None:
        """Remove a blob; removing what is not there is done already."""
        try:
            await obstore.delete_async(self._store, _checked(key))
        except FileNotFoundError:
            return


def _checked(key: str) -> str:
    if len(key) > 900 or not _KEY.match(key):
        raise BadBlobKey(key[:200])
    return key
