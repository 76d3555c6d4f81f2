"""Blobs in a folder."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from signalbox_chassis.blobs import BlobMissing, Blobs, BlobStoreFailed
from support.blob_checks import CHECKS, Check

_KILLED_WHILE_WRITING = """
import asyncio, resource, signal, sys
from signalbox_chassis.blobs import Blobs

signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it; as it is, the kernel kills whoever writes too much
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
asyncio.run(Blobs(sys.argv[1]).write(sys.argv[2], b"n" * (4 << 20), replace=True))
"""


def folder_store(folder: Path) -> Blobs:
    return Blobs(f"file://{folder}/blobs")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_on_a_folder(check: Check, tmp_path: Path) -> None:
    await check(folder_store(tmp_path))


async def test_blobs_are_for_their_owner_only(tmp_path: Path) -> None:
    """Logs may hold what a program should not have printed: other accounts of the host must not read them."""
    store = folder_store(tmp_path)
    assert (tmp_path / "blobs").stat().st_mode & 0o077 == 0
    (tmp_path / "blobs").chmod(0o755)  # made by somebody else
    await store.write("logs/1/2", b"text")
    (tmp_path / "artifact").write_bytes(b"code")
    await store.write_file("artifacts/3", tmp_path / "artifact")
    made = sorted((tmp_path / "blobs").rglob("*"))
    assert [path.name for path in made] == ["artifacts", "3", "logs", "1", "2"]
    assert [oct(path.stat().st_mode & 0o777) for path in made] == ["0o700", "0o600", "0o700", "0o700", "0o600"]


async def test_a_process_killed_in_mid_write_leaves_no_half_blob(tmp_path: Path) -> None:
    """A half JAR would be run. The kernel kills the writer after one MiB, on an old and on a new key."""
    blobs = folder_store(tmp_path)
    await blobs.write("jars/old", b"whole")
    for key in ("jars/old", "jars/new"):
        command = [sys.executable, "-c", _KILLED_WHILE_WRITING, f"file://{tmp_path}/blobs", key]
        ended = await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=60, check=False)
        assert ended.returncode < 0, ended.stderr
    written = [path for path in (tmp_path / "blobs" / "jars").iterdir() if path.stat().st_size >= 1 << 20]
    assert written, "the writers did write a part, aside"
    assert await blobs.read("jars/old") == b"whole"
    with pytest.raises(BlobMissing):
        await blobs.read("jars/new")
    assert [blob.key for blob in await blobs.list("jars")] == ["jars/old"]
    await blobs.write("jars/new", b"at last")
    assert await blobs.read("jars/new") == b"at last"


async def test_a_folder_with_spaces_in_its_address_is_that_folder(tmp_path: Path) -> None:
    await Blobs(f"file://{tmp_path}/with%20space").write("key", b"x")
    assert (tmp_path / "with space" / "key").read_bytes() == b"x"


async def test_an_error_of_the_file_system_is_one_line_of_ours(tmp_path: Path) -> None:
    blobs = folder_store(tmp_path)
    await blobs.write("a", b"a blob, so no folder")
    with pytest.raises(BlobStoreFailed, match=r"Not a directory|File exists") as failed:
        await blobs.write("a/b", b"")
    assert "\n" not in str(failed.value)


@pytest.mark.parametrize(
    "url",
    ["", "folder", "/folder", "http://host/bucket", "file://relative/folder", "file:///x#y", "file:///x?y", "s3:///x"],
)
def test_an_address_that_names_no_store_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="use file:///folder or s3://bucket/prefix"):
        Blobs(url)
