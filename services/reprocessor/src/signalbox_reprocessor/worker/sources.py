"""Opens a file of the ledger, on this host or in S3, and notices when it is another one than was listed."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError, PreconditionError
from obstore.store import S3Store

CHUNK: Final = 256 * 1024


class FileChanged(Exception):
    """It is not the file that was listed. Another try changes nothing."""


class FileUnreadable(Exception):
    """It cannot be read now. Another try may help."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file as it was listed. `version` is its modification time, or its ETag in S3."""

    index: int
    path: str
    size: int
    version: str


class Source:
    """Reads files. `read_bytes` counts the stored bytes of the one that is open."""

    def __init__(self, s3_options: Mapping[str, Any]) -> None:
        self._s3_options = dict(s3_options)
        self._stores: dict[str, S3Store] = {}
        self.read_bytes = 0

    def read(self, file: SourceFile) -> Iterator[bytes]:
        """The stored bytes. Raises `FileChanged`, `FileUnreadable`."""
        self.read_bytes = 0
        chunks = self._s3(file) if file.path.startswith("s3://") else _local(file)
        for chunk in chunks:
            self.read_bytes += len(chunk)
            yield chunk
        if self.read_bytes != file.size:
            raise FileChanged(f"it had {file.size} bytes when it was listed and {self.read_bytes} now")

    def _s3(self, file: SourceFile) -> Iterator[bytes]:
        parts = urlsplit(file.path, allow_fragments=False)
        key = file.path.removeprefix(f"s3://{parts.netloc}/")
        store = self._stores.get(parts.netloc)
        if store is None:
            store = self._stores[parts.netloc] = S3Store(parts.netloc, **self._s3_options)
        at = 0
        while at < file.size or not at:
            began = at
            options: dict[str, Any] = {"if_match": file.version} if file.version else {}
            if at:
                options["range"] = {"offset": at}
            try:
                found = obstore.get(store, key, options=cast("Any", options))
                for chunk in found.stream(min_chunk_size=CHUNK):
                    at += len(chunk)
                    yield bytes(chunk)
            except PreconditionError:
                raise FileChanged("it was written again since it was listed") from None
            except FileNotFoundError:
                raise FileChanged("it is gone") from None
            except BaseError as error:
                # a request ends after three minutes, however well it goes; the next one goes on behind it
                if at == began or not file.version:
                    raise FileUnreadable(str(error).splitlines()[0][:500]) from None
            else:
                return


def _local(file: SourceFile) -> Iterator[bytes]:
    try:
        with open(file.path, "rb", buffering=0) as opened:  # noqa: PTH123
            _check(opened.fileno(), file)
            while chunk := opened.read(CHUNK):
                yield chunk
            _check(opened.fileno(), file)
    except FileNotFoundError:
        raise FileChanged("it is gone") from None
    except OSError as error:
        raise FileUnreadable(f"{type(error).__name__}: {error.strerror}") from None


def _check(descriptor: int, file: SourceFile) -> None:
    found = os.fstat(descriptor)
    if found.st_size != file.size or str(found.st_mtime_ns) != file.version:
        raise FileChanged("it was written again since it was listed")
