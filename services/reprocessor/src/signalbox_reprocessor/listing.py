"""Lists the files of a job, on this host or in S3."""

import asyncio
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from signalbox_contracts.definitions.reprocessing import MAX_FILES, ReprocessingConfig
from signalbox_reprocessor.distribution import SUFFIXES, JobRefused, ListedFile
from signalbox_reprocessor.settings import ReprocessorSettings

MAX_LISTED: Final = MAX_FILES + 1
"""One more than a job may have is enough to refuse it."""


async def list_files(config: ReprocessingConfig, settings: ReprocessorSettings) -> list[ListedFile]:
    """Every file of events below the path. Raises `JobRefused`."""
    try:
        async with asyncio.timeout(settings.reprocessing_list_seconds):
            if config.s3_path:
                return await _list_s3(config.s3_path, settings)
            assert config.local_path is not None
            return await asyncio.to_thread(_list_local, config.local_path, settings.local_folders)
    except TimeoutError:
        where = "s3_path" if config.s3_path else "local_path"
        raise JobRefused(where, f"not listed within {settings.reprocessing_list_seconds:g} s") from None


def _list_local(text: str, allowed: Sequence[Path]) -> list[ListedFile]:
    roots = [Path(os.path.realpath(folder)) for folder in allowed]
    real = Path(os.path.realpath(text))
    if not any(real.is_relative_to(root) for root in roots):
        names = ", ".join(map(str, allowed)) or "none: SIGNALBOX_REPROCESSING_LOCAL_FOLDERS is empty"
        raise JobRefused("local_path", f"{text} is not in a folder the operator allows: {names}")
    if not real.exists():
        raise JobRefused("local_path", f"{text}: there is no such folder on the reprocessor's host")
    found: list[ListedFile] = []
    try:
        for path in [real] if real.is_file() else _walk(real):
            if path.name.endswith(SUFFIXES) and path.is_file() and not path.is_symlink():
                if not _is_text(str(path)):
                    raise JobRefused("local_path", f"the name {os.fsencode(path)!r} is not UTF-8: rename the file")
                stat = path.stat()
                found.append(ListedFile(str(path), stat.st_size, str(stat.st_mtime_ns)))
                if len(found) >= MAX_LISTED:
                    break
    except OSError as error:
        raise JobRefused("local_path", f"{text} cannot be read: {error.strerror}") from None
    return found


def _is_text(name: str) -> bool:
    """Whether the ledger can hold it: a name on disk is any bytes."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _walk(folder: Path) -> Iterator[Path]:
    def fail(error: OSError) -> None:
        raise error

    for here, _, names in os.walk(folder, onerror=fail):
        for name in names:
            yield Path(here) / name


async def _list_s3(path: str, settings: ReprocessorSettings) -> list[ListedFile]:
    try:
        parts = urlsplit(path, allow_fragments=False)
    except ValueError as error:
        raise JobRefused("s3_path", f"{path} is not an address: {error}") from None
    prefix = path.removeprefix(f"s3://{parts.netloc}").lstrip("/")
    found: list[ListedFile] = []
    try:
        store = S3Store(parts.netloc, **settings.s3_options)
        async for page in obstore.list(store, prefix=prefix or None, chunk_size=1000):
            for one in page:
                listed = ListedFile(f"s3://{parts.netloc}/{one['path']}", one["size"], one["e_tag"] or "")
                if listed.name.endswith(SUFFIXES):
                    found.append(listed)
            if len(found) >= MAX_LISTED:
                break
        if not found and prefix.endswith(SUFFIXES):
            one = await obstore.head_async(store, prefix)
            found.append(ListedFile(path, one["size"], one["e_tag"] or ""))
    except (BaseError, OSError) as error:
        raise JobRefused("s3_path", f"{path} cannot be listed: {_reason(error)}") from None
    return found


def _reason(error: Exception) -> str:
    """What S3 answered, in a few words."""
    text = str(error)
    for code in ("NoSuchBucket", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"):
        if code in text:
            return {"NoSuchBucket": "there is no such bucket"}.get(code, f"S3 refuses it ({code})")
    return text.splitlines()[0][:300]
