"""What every blob store must do; the same list runs on a folder and on a real S3 server."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from signalbox_chassis.blobs import BadBlobKey, BlobExists, BlobMissing, Blobs

Check = Callable[[Blobs], Awaitable[None]]
CHECKS: list[Check] = []

BAD_KEYS = [
    "", ".", "..", "../x", "a/../b", "a/..", "a/./b", "/a", "a/", "a//b", "a b", "a\n", "\na", "a\\b", "a#1", "ä",
    "a\0", "n" * 251, "/".join(["n" * 200] * 5),
]  # fmt: skip


def check(function: Check) -> Check:
    CHECKS.append(function)
    return function


@check
async def what_is_written_is_read_back_complete(blobs: Blobs) -> None:
    for key, content in {"logs/1": b"one", "empty": b"", "a=b/c@d/e-f_g.h": bytes(range(256)) * 100}.items():
        await blobs.write(key, content)
        assert await blobs.read(key) == content


@check
async def a_second_write_is_refused_and_changes_nothing(blobs: Blobs) -> None:
    await blobs.write("jar", b"first")
    with pytest.raises(BlobExists, match="jar"):
        await blobs.write("jar", b"second")
    assert await blobs.read("jar") == b"first"


@check
async def of_many_first_writes_at_once_exactly_one_wins(blobs: Blobs) -> None:
    contents = [f"writer {n}".encode() * 1000 for n in range(8)]
    ends = await asyncio.gather(*(blobs.write("race", content) for content in contents), return_exceptions=True)
    won = [content for content, end in zip(contents, ends, strict=True) if end is None]
    assert [type(end) for end in ends].count(BlobExists) == 7
    assert won == [await blobs.read("race")]


@check
async def a_write_that_replaces_does_so_whether_or_not_something_was_there(blobs: Blobs) -> None:
    await blobs.write("state", b"a longer first content", replace=True)
    await blobs.write("state", b"second", replace=True)
    assert await blobs.read("state") == b"second"


@check
async def reading_or_streaming_what_is_missing_raises(blobs: Blobs) -> None:
    await blobs.write("there/is", b"something")
    for key in ("missing", "there", "there/is-not"):
        with pytest.raises(BlobMissing, match=key):
            await blobs.read(key)
        with pytest.raises(BlobMissing, match=key):
            await anext(blobs.stream(key))


@check
async def a_bad_key_is_refused_by_every_method(blobs: Blobs) -> None:
    for key in BAD_KEYS:
        for call in (
            blobs.read(key),
            blobs.write(key, b""),
            blobs.delete(key),
            blobs.list(key),
            anext(blobs.stream(key)),
        ):
            with pytest.raises(BadBlobKey):
                await call


@check
async def keys_of_the_longest_allowed_size_work(blobs: Blobs) -> None:
    key = "/".join(["n" * 250, "m" * 250, "l" * 250])
    await blobs.write(key, b"deep")
    assert [blob.key for blob in await blobs.list("n" * 250)] == [key]


@check
async def a_list_holds_what_is_below_a_folder_with_sizes_and_times(blobs: Blobs) -> None:
    for key in ("logs/t1/2", "logs/t1/10", "logs/t1/1", "logs/t10/1", "logs/t1/deep/er", "other"):
        await blobs.write(key, key.encode())
    found = await blobs.list("logs/t1")
    assert [(blob.key, blob.bytes) for blob in found] == [
        (key, len(key)) for key in ("logs/t1/1", "logs/t1/10", "logs/t1/2", "logs/t1/deep/er")
    ]
    assert all(abs(datetime.now(UTC) - blob.modified_at) < timedelta(minutes=5) for blob in found)
    assert await blobs.list("nothing") == []
    assert await blobs.list("other") == [], "a blob is not a folder"


@check
async def a_list_is_complete_however_many_blobs_there_are(blobs: Blobs) -> None:
    keys = [f"many/{n:04d}" for n in range(1100)]  # S3 answers with at most 1000 a page
    for start in range(0, len(keys), 50):
        await asyncio.gather(*(blobs.write(key, b"") for key in keys[start : start + 50]))
    assert [blob.key for blob in await blobs.list("many")] == keys


@check
async def a_large_blob_streams_in_chunks(blobs: Blobs) -> None:
    content = bytes(range(256)) * (5 * 4096)  # 5 MiB
    await blobs.write("large", content)
    chunks = [chunk async for chunk in blobs.stream("large", chunk_bytes=1 << 20)]
    assert b"".join(chunks) == content
    assert len(chunks) > 2
    assert max(map(len, chunks)) < len(content)


@check
async def deleting_twice_is_deleting_once(blobs: Blobs) -> None:
    await blobs.write("gone", b"x")
    await blobs.delete("gone")
    await blobs.delete("gone")
    await blobs.delete("never/was")
    with pytest.raises(BlobMissing):
        await blobs.read("gone")
    await blobs.write("gone", b"back")
    assert await blobs.read("gone") == b"back"
