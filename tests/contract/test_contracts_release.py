"""What is committed is what the code says, and nothing a release has said is broken.

The last release is found by its tag (`v*`) in git, or by `deploy/releases.toml`. Before the first one there is no
promise yet: the same checks then run against the committed schemas and samples, and each test's name says which of the
two it was.
"""

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest
from jsonschema import Draft202012Validator

from signalbox_contracts.asyncapi import schema_path
from signalbox_contracts.compatibility import breaking_changes, missing_messages
from signalbox_contracts.envelope import Event
from signalbox_contracts.generate import HOME, RELEASED, generated, keep_for_good, main, stale, write
from signalbox_contracts.samples import samples
from signalbox_contracts.topics import TOPICS, topic, topic_of
from signalbox_contracts.wire import decode, encode
from support.releases import newest_release

WANTED = generated()
SCHEMAS = tuple(path for path in WANTED if path.startswith("schemas/"))


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=HOME, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout


NEW_KINDS = {"move"}
"""Kinds of definitions that the last release does not know. It parks them, so they are saved after the upgrade only."""
RELEASE = newest_release()
BASIS = RELEASE or "no release yet, committed files"


@cache
def released_schemas() -> dict[str, dict[str, Any]]:
    """The JSON Schemas of the last release, by path; before the first one those in the working tree."""
    if not RELEASE:
        return {
            file.relative_to(HOME).as_posix(): json.loads(file.read_text()) for file in HOME.glob("schemas/*/*.json")
        }
    listed = _git("ls-tree", "-r", "--name-only", RELEASE, "schemas/") or ""
    return {path: json.loads(_git("show", f"{RELEASE}:./{path}") or "") for path in listed.splitlines()}


def test_generated_files_are_up_to_date() -> None:
    assert stale(HOME, WANTED) == []


@pytest.mark.parametrize("basis", [BASIS])
def test_no_message_of_the_last_release_is_gone(basis: str) -> None:
    assert released_schemas(), f"no schemas found for {basis}"
    assert missing_messages(list(released_schemas()), list(WANTED)) == []


@pytest.mark.parametrize("path", SCHEMAS)
@pytest.mark.parametrize("basis", [BASIS])
def test_no_message_breaks_the_last_release(path: str, basis: str) -> None:
    old = released_schemas().get(path)
    new = json.loads(WANTED[path])
    if old is None:
        assert RELEASE, f"{path} is not committed"
        return  # new since the release
    assert breaking_changes(old, new) == []


@pytest.mark.parametrize("path", SCHEMAS)
def test_a_field_lost_from_any_part_of_a_real_schema_would_be_noticed(path: str) -> None:
    """The check reaches every definition of the real schemas, whatever unions and maps lie before it."""
    schema = json.loads(WANTED[path])
    definitions = schema.get("$defs", {})
    for name, definition in definitions.items():
        if fields := list(definition.get("properties", {})):
            left = {field: definition["properties"][field] for field in fields[:-1]}
            cut = {**schema, "$defs": {**definitions, name: {**definition, "properties": left}}}
            assert breaking_changes(schema, cut), f"{name}.{fields[-1]} could be removed unnoticed"


@pytest.mark.parametrize("path", SCHEMAS)
def test_every_schema_is_a_json_schema(path: str) -> None:
    Draft202012Validator.check_schema(json.loads(WANTED[path]))


@pytest.mark.parametrize("file", sorted(HOME.glob("samples/**/*.json")), ids=lambda file: file.name)
def test_every_sample_ever_committed_is_still_read(file: Path) -> None:
    """What was written stays in Kafka for days and in dead letters for months: it must always be readable."""
    place = next(place for place in TOPICS if f".{place.name}." in file.name)
    event = decode(place, file.read_bytes())
    assert encode(event).value is not None
    assert decode(place, encode(event).value) == event


@pytest.mark.parametrize("sample", samples(), ids=lambda sample: f"{sample.event.type}.{sample.case}")
@pytest.mark.parametrize("basis", [BASIS])
def test_todays_samples_are_accepted_by_the_last_releases_schemas(sample: Any, basis: str) -> None:
    """Old models cannot be imported beside today's, so an old reader is stood in for by its JSON Schema."""
    message = cast("type[Event[Any]]", type(sample.event))
    schema = released_schemas().get(schema_path(topic_of(message), message))
    if schema is None:
        assert RELEASE, "a new message's schema is not committed"
        return
    problems = Draft202012Validator(schema).iter_errors(json.loads(encode(sample.event).value or b""))
    if RELEASE and getattr(sample.event.data, "kind", None) in NEW_KINDS:
        assert any(problems), "the last release knows this kind: take it out of NEW_KINDS"
        return
    assert [problem.message for problem in problems] == []


def test_every_message_has_a_sample() -> None:
    shown = {type(sample.event) for sample in samples()}
    assert shown == {message for place in TOPICS for message in place.messages}


def test_samples_are_the_same_every_time() -> None:
    assert generated() == WANTED


def test_check_names_each_stale_missing_and_left_over_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, WANTED)
    assert main(["--check", "--home", str(tmp_path)]) == 0
    first, second = sorted(WANTED)[1:3]
    (tmp_path / first).write_text("{}")
    (tmp_path / second).unlink()
    (tmp_path / "samples/old.json").write_text("{}")
    assert main(["--check", "--home", str(tmp_path)]) == 1
    text = capsys.readouterr().out.splitlines()
    assert text == [f"{first}: stale", f"{second}: missing", "samples/old.json: nothing generates it any more"]
    assert main(["--home", str(tmp_path)]) == 0
    assert main(["--check", "--home", str(tmp_path)]) == 0


def test_released_samples_are_never_written_again_or_deleted(tmp_path: Path) -> None:
    write(tmp_path, WANTED)
    keep_for_good(tmp_path, "0.1.0", WANTED)
    kept = sorted((tmp_path / RELEASED / "0.1.0").glob("*.json"))
    assert len(kept) == len(samples())
    path = next(path for path in WANTED if path.startswith("samples/"))
    changed = {**WANTED, path: '{"changed": 1}\n'}
    keep_for_good(tmp_path, "0.2.0", changed)
    assert [file.name for file in (tmp_path / RELEASED / "0.2.0").glob("*.json")] == [Path(path).name]
    write(tmp_path, {})
    assert sorted((tmp_path / RELEASED / "0.1.0").glob("*.json")) == kept
    with pytest.raises(FileExistsError, match="never changes"):
        keep_for_good(tmp_path, "0.1.0", {path: '{"changed": 2}\n'})


def test_a_released_sample_is_found_by_the_topic_in_its_name() -> None:
    assert all(
        sum(f".{place.name}." in Path(path).name for place in TOPICS) == 1 for path in WANTED if "samples" in path
    )
    assert topic("plans.v1") in TOPICS
