"""Write or check the generated files: JSON Schemas, `asyncapi.json`, golden samples, `states.md`.

`python -m signalbox_contracts.generate` writes them, `--check` exits with 1 and a line per stale file, and
`--release VERSION` keeps today's samples for good: what a release said must be readable for ever, so those are never
written or deleted again.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from signalbox_contracts.asyncapi import asyncapi, message_name, schema_path
from signalbox_contracts.envelope import Event
from signalbox_contracts.live import live_asyncapi
from signalbox_contracts.samples import Sample, samples
from signalbox_contracts.state_diagrams import states_page
from signalbox_contracts.topics import TOPICS, topic_of
from signalbox_contracts.wire import encode

HOME: Final = Path(__file__).resolve().parents[2]
"""`libs/contracts` of a checkout."""

RELEASED: Final = "samples/released"
_DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"


@cache
def schema_of(message: type[Event[Any]]) -> dict[str, Any]:
    """The JSON Schema of what a reader of this message accepts."""
    return {"$schema": _DRAFT, **message.model_json_schema(mode="validation")}


def sample_path(sample: Sample) -> str:
    """`samples/<type>.<topic>[.<case>].json`."""
    message = type(sample.event)
    parts = [message_name(message), topic_of(message).name, *([sample.case] if sample.case else [])]
    return f"samples/{'.'.join(parts)}.json"


def generated() -> dict[str, str]:
    """Every generated file with its text, by its path below `libs/contracts`."""
    files: dict[str, Any] = {
        schema_path(topic, message): schema_of(message) for topic in TOPICS for message in topic.messages
    }
    files["asyncapi.json"] = asyncapi(version("signalbox-contracts"))
    files["live-asyncapi.json"] = live_asyncapi(version("signalbox-contracts"))
    for sample in samples():
        path = sample_path(sample)
        if path in files:
            raise ValueError(f"two samples would be {path}: give one of them a case")
        files[path] = json.loads(encode(sample.event).value or b"null")
    texts = {path: json.dumps(content, indent=1, ensure_ascii=False) + "\n" for path, content in files.items()}
    return {**texts, "states.md": states_page()}


def stale(home: Path, wanted: Mapping[str, str]) -> list[str]:
    """One line per file that is missing, different, or generated once and no longer."""
    lines: list[str] = []
    for path, text in sorted(wanted.items()):
        file = home / path
        if not file.exists():
            lines.append(f"{path}: missing")
        elif file.read_text(encoding="utf-8") != text:
            lines.append(f"{path}: stale")
    return lines + [f"{path}: nothing generates it any more" for path in left_over(home, wanted)]


def left_over(home: Path, wanted: Mapping[str, str]) -> list[str]:
    """Generated files that nothing generates any more. Released samples are never among them."""
    found = [*home.glob("schemas/*/*.json"), *home.glob("samples/*.json")]
    return sorted(path for path in (file.relative_to(home).as_posix() for file in found) if path not in wanted)


def write(home: Path, wanted: Mapping[str, str]) -> None:
    """Make the files so; released samples stay as they are."""
    for path in left_over(home, wanted):
        (home / path).unlink()
    for path, text in wanted.items():
        _write(home / path, text)


def keep_for_good(home: Path, release: str, wanted: Mapping[str, str]) -> None:
    """Keep today's samples as those of a release; what an earlier release already said the same way is not repeated."""
    known = {file.read_text(encoding="utf-8") for file in (home / RELEASED).glob("*/*.json")}
    for path, text in wanted.items():
        if path.startswith("samples/") and text not in known:
            target = home / RELEASED / release / Path(path).name
            if target.exists():
                raise FileExistsError(f"{target.relative_to(home)} is released and never changes")
            _write(target, text)


def main(arguments: list[str] | None = None) -> int:
    """The command line; the result is the exit code."""
    parser = argparse.ArgumentParser(prog="python -m signalbox_contracts.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say what is stale; exit 1 if anything is")
    parser.add_argument("--release", metavar="VERSION", help="keep today's samples as those of a release")
    parser.add_argument("--home", type=Path, default=HOME, help="where schemas/, samples/ and asyncapi.json are")
    chosen = parser.parse_args(arguments)
    wanted = generated()
    if chosen.check:
        lines = stale(chosen.home, wanted)
        for line in lines:
            print(line)
        return 1 if lines else 0
    write(chosen.home, wanted)
    if chosen.release:
        keep_for_good(chosen.home, chosen.release, wanted)
    print(f"{len(wanted)} files are up to date", file=sys.stderr)
    return 0


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
