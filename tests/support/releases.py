"""Released versions, and what their migrations do.

A release is a tag `vMAJOR.MINOR.PATCH` in git. Where the tags did not come along with the commits, its entry in
`deploy/releases.toml` names the commit. The entry also has a digest of the SQL of each migration, so that a migration
that was released cannot be edited unnoticed, with or without git.

`python tests/support/releases.py` adds the entry of the commit that is checked out, and keeps the samples of its
messages, which every later version reads. Run it once, at a release.
"""

import hashlib
import io
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext

from signalbox_chassis.persistence.schema_version import history
from signalbox_chassis.security.vault import TABLES_V1
from signalbox_contracts.generate import generated, keep_for_good
from signalbox_contracts.services import ServiceSpec, installed_services

HOME: Final = Path(__file__).parents[2]
FILE: Final = HOME / "deploy/releases.toml"
VAULT: Final = "secrets"
"""The schema that several services share. It has no history of its own."""


@dataclass(frozen=True, slots=True)
class Release:
    """One entry. `migrations` is schema → revision → the digest of its SQL."""

    version: str
    commit: str
    migrations: Mapping[str, Mapping[str, str]]


def recorded(file: Path = FILE) -> list[Release]:
    """Every release of the file, the oldest first."""
    entries = tomllib.loads(file.read_text()).get("release", [])
    found = [Release(one["version"], one["commit"], one["migrations"]) for one in entries]
    return sorted(found, key=lambda one: [int(part) for part in one.version.split(".")])


def newest_release(home: Path = HOME, file: Path = FILE) -> str:
    """The newest release before HEAD, as a name that git knows: its tag, else its recorded commit, else nothing."""
    tag = git(home, "describe", "--tags", "--abbrev=0", "--match", "v[0-9]*", "HEAD^")
    if tag:
        return tag
    head = git(home, "rev-parse", "HEAD")
    for release in reversed(recorded(file)):
        commit = git(home, "rev-parse", "--verify", "--quiet", f"{release.commit}^{{commit}}")
        if commit and commit != head and git(home, "merge-base", commit, "HEAD") == commit:
            return commit
    return ""


def git(home: Path, *words: str) -> str:
    """What git prints; nothing where it fails or does not read this as a clone."""
    try:
        done = subprocess.run(["git", "-C", home, *words], capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def migration_digests(specs: Sequence[ServiceSpec] | None = None) -> dict[str, dict[str, str]]:
    """What `Release.migrations` holds, of this checkout."""
    found = installed_services() if specs is None else specs
    digests = {spec.schema: revision_digests(spec.migrations) for spec in found}
    return {**dict(sorted(digests.items())), VAULT: {"tables_v1": _digest(TABLES_V1)}}


def revision_digests(versions: Path) -> dict[str, str]:
    """Revision → a digest of the SQL that it executes, tables of the chassis and files of SQL included."""
    scripts = reversed([*history(versions).walk_revisions()])
    return {script.revision: _digest(_sql(script.module.upgrade)) for script in scripts}


def edited(release: Release, today: Mapping[str, Mapping[str, str]]) -> list[str]:
    """A line for each migration of the release that is gone or does something else now."""
    return [
        f"{schema} {revision} was released with {release.version} and "
        + ("is edited: put it back, and write a new migration" if revision in today.get(schema, {}) else "is gone")
        for schema, revisions in release.migrations.items()
        for revision, digest in revisions.items()
        if today.get(schema, {}).get(revision) != digest
    ]


def entry(version: str, commit: str, migrations: Mapping[str, Mapping[str, str]]) -> str:
    """The text of one entry."""
    lines = ["", "[[release]]", f'version = "{version}"', f'commit = "{commit}"', "[release.migrations]"]
    for schema, revisions in migrations.items():
        pairs = ", ".join(f'"{revision}" = "{digest}"' for revision, digest in revisions.items())
        lines.append(f"{schema} = {{ {pairs} }}")
    return "\n".join(lines) + "\n"


def _sql(upgrade: object) -> str:
    assert callable(upgrade)
    written = io.StringIO()
    context = MigrationContext.configure(dialect_name="postgresql", opts={"as_sql": True, "output_buffer": written})
    with Operations.context(context):
        upgrade()
    return written.getvalue()


def _digest(sql: str) -> str:
    return hashlib.sha256(sql.encode()).hexdigest()[:32]


def main() -> int:
    version = tomllib.loads((HOME / "pyproject.toml").read_text())["project"]["version"]
    commit = git(HOME, "rev-parse", "HEAD")
    problem = ""
    if not commit:
        problem = "git does not read this as a clone"
    elif git(HOME, "status", "--porcelain"):
        problem = "there are changes that are not committed"
    elif version in {release.version for release in recorded()}:
        problem = f"{version} is recorded already"
    if problem:
        print(f"releases: {problem}: nothing was recorded", file=sys.stderr)
        return 1
    with FILE.open("a") as file:
        file.write(entry(version, commit, migration_digests()))
    keep_for_good(HOME / "libs/contracts", version, generated())
    print(f"{version} is {commit}: commit {FILE.relative_to(HOME)} and the samples of its messages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
