"""The blob store: logs and artifacts, in a folder or in S3, through one library (obstore).

Keys are `/`-separated paths without `..`. Objects are written whole and never changed; what grows (a log) is written as
numbered chunks. A key that is a blob cannot be the folder of others: S3 would allow it, a file system does not.
"""

import asyncio
import re
import shutil
from collections.abc import AsyncIterator, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, ObjectStore, S3Store

# 250: a file system allows 255 bytes a name, and a file being written has a suffix
_KEY = re.compile(r"(?!(.*/)?\.\.?(/|$))[A-Za-z0-9._=@-]{1,250}(/[A-Za-z0-9._=@-]{1,250})*")
_S3_RETRIES = {"max_retries": 5, "retry_timeout": timedelta(seconds=20)}


class BlobMissing(LookupError):
    """No blob has this key."""


class BlobExists(Exception):
    """A blob with this key is there already, and was left as it is."""


class BadBlobKey(ValueError):
    """A key outside `[A-Za-z0-9._=@-]` segments joined by `/`."""


class BlobStoreFailed(Exception):
    """The store did not answer, or refused; carries the first line of what it said."""


@dataclass(frozen=True)
class Blob:
    key: str
    bytes: int
    modified_at: datetime


class Blobs:
    """One store. `url` is `file:///folder` (made if missing) or `s3://bucket/prefix`.

    A folder is made with mode 0700 and its blobs with 0600: logs are for nobody else on the host.

    S3 takes its credentials and endpoint from the usual `AWS_*` variables, or from `options` (obstore's `S3Config`),
    and repeats a failed call for 20 s. Every method raises `BlobStoreFailed`, and `BadBlobKey` for a bad key.
    """

    def __init__(self, url: str, **options: Any) -> None:
        parts = urlsplit(url)
        self._store: ObjectStore
        self._folder: Path | None = None
        if parts.scheme == "file" and not (parts.netloc or parts.query or parts.fragment):
            self._folder = Path(unquote(parts.path))
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._store = LocalStore(self._folder, mkdir=True)
        elif parts.scheme == "s3" and parts.netloc:
            options = {"retry_config": _S3_RETRIES, **options}
            self._store = S3Store(parts.netloc, prefix=parts.path.strip("/") or None, **options)
        else:
            raise ValueError(f"blob store {url!r}: use file:///folder or s3://bucket/prefix")

    async def write(self, key: str, content: bytes, *, replace: bool = False) -> None:
        """Store a blob atomically; raises `BlobExists` unless `replace`."""
        with _translated():
            self._make_folders(_checked(key))
            try:
                await obstore.put_async(self._store, key, content, mode="overwrite" if replace else "create")
            except AlreadyExistsError:
                raise BlobExists(key) from None
            self._close(key)

    async def write_file(self, key: str, path: Path) -> None:
        """Store the content of a file atomically, in parts: memory stays small. Replaces what is there."""
        with _translated():
            self._make_folders(_checked(key))
            await obstore.put_async(self._store, key, path, max_concurrency=2)
            self._close(key)

    def _make_folders(self, key: str) -> None:
        """Closed, before a blob is in them: a new blob is open for a moment, and the folder of all may be open."""
        if self._folder is not None and not (self._folder / key).parent.is_dir():
            folder = self._folder
            for name in key.split("/")[:-1]:
                folder /= name
                folder.mkdir(0o700, exist_ok=True)

    def _close(self, key: str) -> None:
        if self._folder is not None:
            (self._folder / key).chmod(0o600)

    async def size(self, key: str) -> int | None:
        """How many bytes a blob has; None if there is none."""
        try:
            with _translated(missing=key):
                return (await obstore.head_async(self._store, _checked(key)))["size"]
        except BlobMissing:
            return None

    async def read(self, key: str) -> bytes:
        """The whole blob; raises `BlobMissing`."""
        with _translated(missing=key):
            answer = await obstore.get_async(self._store, _checked(key))
            return bytes(await answer.bytes_async())

    async def stream(self, key: str, *, chunk_bytes: int = 1 << 20) -> AsyncIterator[bytes]:
        """The blob in chunks of about this size; raises `BlobMissing`."""
        with _translated(missing=key):
            answer = await obstore.get_async(self._store, _checked(key))
            chunks = aiter(answer.stream(min_chunk_size=chunk_bytes))
        while True:
            with _translated():
                chunk = await anext(chunks, None)
            if chunk is None:
                return
            yield bytes(chunk)

    async def list(self, prefix: str) -> list[Blob]:
        """Blobs below a folder, by key."""
        return sorted([blob async for page in self.pages(prefix) for blob in page], key=lambda blob: blob.key)

    async def pages(self, prefix: str, *, size: int = 1000) -> AsyncIterator[Sequence[Blob]]:
        """Blobs below a folder in pages of at most this size, in no order. The caller may delete those of a page."""
        with _translated():
            pages = aiter(obstore.list(self._store, prefix=_checked(prefix), chunk_size=size))
        while True:
            with _translated():
                page = await anext(pages, None)
            if page is None:
                return
            entries = cast("Sequence[dict[str, Any]]", page)
            blobs = [Blob(entry["path"], entry["size"], entry["last_modified"]) for entry in entries]
            # a folder store answers with the blob itself when its key is the prefix, S3 does not
            yield [blob for blob in blobs if blob.key != prefix]

    async def delete(self, key: str) -> None:
        """Remove a blob; removing what is not there is done already."""
        with _translated():
            try:
                await obstore.delete_async(self._store, _checked(key))
            except FileNotFoundError:
                return

    async def delete_folder(self, prefix: str) -> None:
        """Remove every blob below a folder; a folder that is not there is removed already."""
        keys = [blob.key for blob in await self.list(prefix)]
        if keys:
            with _translated():
                await obstore.delete_async(self._store, keys)
        if self._folder is not None:
            await asyncio.to_thread(shutil.rmtree, self._folder / _checked(prefix), ignore_errors=True)


@contextmanager
def _translated(*, missing: str | None = None) -> Generator[None]:
    """Keep the library's errors in here. Its texts end in pages of debug output: only the first line goes on."""
    try:
        yield
    except FileNotFoundError as error:
        if missing is not None:
            raise BlobMissing(missing) from None
        raise BlobStoreFailed(_first_line(error)) from error
    except (BaseError, OSError) as error:
        raise BlobStoreFailed(_first_line(error)) from error


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0][:500]


def _checked(key: str) -> str:
    if len(key) > 900 or not _KEY.fullmatch(key):
        raise BadBlobKey(key[:200])
    return key
