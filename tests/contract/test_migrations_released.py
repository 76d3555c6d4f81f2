"""What a released migration does never changes: the databases that ran it would differ from those that run it now."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from signalbox_contracts.services import installed_services
from support.releases import HOME, Release, edited, entry, migration_digests, newest_release, recorded, revision_digests

TODAY = migration_digests()
HISTORIES = {spec.name: spec.migrations for spec in installed_services()}


def test_no_migration_of_a_recorded_release_is_edited() -> None:
    assert [line for release in recorded() for line in edited(release, TODAY)] == []


@pytest.mark.parametrize("service", HISTORIES)
def test_migrations_are_numbered_in_their_order(service: str) -> None:
    numbers = [f"{number:04}" for number in range(1, len(revision_digests(HISTORIES[service])) + 1)]
    assert list(revision_digests(HISTORIES[service])) == numbers
    assert [file.name[:4] for file in sorted(HISTORIES[service].glob("[0-9]*.py"))] == numbers


def test_an_edit_of_a_migration_of_its_sql_files_or_of_the_tables_of_the_chassis_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = {"gateway": revision_digests(HISTORIES["api-gateway"])}
    release = Release("0.1.0", "0" * 40, released)
    copy = tmp_path / "migrations"
    shutil.copytree(HISTORIES["api-gateway"], copy)
    assert edited(release, {"gateway": revision_digests(copy)}) == []
    migration = copy / "0001_tables.py"
    migration.write_text(migration.read_text().replace('"""All tables', '"""Every table'))
    assert edited(release, {"gateway": revision_digests(copy)}) == [], "a comment is no change"
    file = copy / "tables/audit.sql"
    file.write_text(file.read_text().replace("CREATE TABLE", "CREATE UNLOGGED TABLE", 1))
    (line,) = edited(release, {"gateway": revision_digests(copy)})
    assert line == (
        "gateway 0001 was released with 0.1.0 and is edited: put it back, and write a new migration"
    )  # fmt: skip
    monkeypatch.setattr("signalbox_chassis.persistence.tables.TABLES_V1", "CREATE TABLE other (id integer);")
    assert edited(release, {"gateway": revision_digests(HISTORIES["api-gateway"])})
    assert edited(release, {}) == [
        f"gateway {number} was released with 0.1.0 and is gone" for number in released["gateway"]
    ]


def test_a_new_migration_is_no_edit(tmp_path: Path) -> None:
    copy = tmp_path / "migrations"
    shutil.copytree(HISTORIES["planner"], copy)
    release = Release("0.1.0", "0" * 40, {"planner": revision_digests(copy)})
    (copy / "0002_more.py").write_text(
        "from alembic import op\nrevision = '0002'\ndown_revision = '0001'\n"
        "def upgrade():\n    op.execute('ALTER TABLE plan ADD COLUMN more text')\n"
    )
    today = revision_digests(copy)
    assert list(today) == ["0001", "0002"]
    assert edited(release, {"planner": today}) == []


def test_an_entry_reads_back_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "releases.toml"
    file.write_text(
        "# a comment\n" + entry("0.10.0", "b" * 40, TODAY) + entry("0.9.1", "a" * 40, {"planner": {"0001": "x"}})
    )
    older, newer = recorded(file)
    assert (older.version, newer.version) == ("0.9.1", "0.10.0")
    assert newer == Release("0.10.0", "b" * 40, TODAY)
    assert set(TODAY) == {"secrets", *(spec.schema for spec in installed_services())}


def test_a_release_is_found_by_its_tag_or_without_tags_by_its_recorded_commit(tmp_path: Path) -> None:
    """Tags stay behind when commits are copied; without the file an upgrade would begin at nothing."""

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@example", "-C", tmp_path, *words],
            check=True, capture_output=True, text=True, timeout=30,
        )  # fmt: skip
        return done.stdout.strip()

    git("init", "-q")
    commits = list[str]()
    for message in ("first", "second", "third"):
        git("commit", "-q", "--allow-empty", "-m", message)
        commits.append(git("rev-parse", "HEAD"))
    file = tmp_path / "releases.toml"
    file.write_text("")
    assert newest_release(tmp_path, file) == ""
    file.write_text(entry("0.1.0", commits[0], {}) + entry("0.2.0", commits[1], {}))
    assert newest_release(tmp_path, file) == commits[1]
    file.write_text(entry("0.1.0", commits[0], {}) + entry("0.2.0", "f" * 40, {}))
    assert newest_release(tmp_path, file) == commits[0], "a commit that is not here cannot be read"
    file.write_text(entry("0.1.0", commits[0], {}) + entry("0.2.0", commits[2], {}))
    assert newest_release(tmp_path, file) == commits[0], "nothing is upgraded from itself"
    git("tag", "v0.1.5", commits[1])
    assert newest_release(tmp_path, file) == "v0.1.5"


def test_every_recorded_release_has_a_section_of_the_changelog() -> None:
    sections = re.findall(r"^## (\d+\.\d+\.\d+)", (HOME / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert not {release.version for release in recorded()} - set(sections)
