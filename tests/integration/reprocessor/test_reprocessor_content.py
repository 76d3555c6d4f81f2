"""What files contain: good and damaged, with lines of every kind; and what is chosen of them."""

import gzip
import json
import os
from pathlib import Path
from typing import Any

from aiohttp import web

from signalbox_contracts.messages.reprocessing import ReprocessingStated
from signalbox_contracts.states import PlanState
from signalbox_contracts.topics import topic
from support.deadlines import wait_until
from support.notifier import receiver
from support.reprocessing import Reprocessors, create_destination, event, keys, reprocessors_on, write_events

LINE_LIMIT = 2048


async def test_a_bad_line_is_counted_located_and_sampled_and_the_file_goes_on(
    postgres_url: str, kafka_bootstrap: str, tmp_path: Path
) -> None:
    lines = [
        event("first"),
        b'{"messageId": "cut off\n',
        b"[1, 2]\n",
        b'{"text": "\xff\xfe"}\n',
        b"\n",
        b'{"pad": "' + b"x" * LINE_LIMIT + b'"}\n',
        b"[" * 100_000 + b"\n",
        b'{"messageId": "n", "messageCreated": "\\u0000", "origin": {"sourceId": "clicks"}}\n',
        b'{"messageId": 7, "messageCreated": 1e400, "origin": "clicks"}\n',
        event("last").rstrip(b"\n"),
    ]
    async with reprocessors_on(postgres_url, kafka_bootstrap, tmp_path) as made:
        async with made.reprocessing(reprocessing_max_line_bytes=LINE_LIMIT):
            (made.events / "a.ndjson").write_bytes(b"".join(lines))
            (made.events / "b.ndjson.gz").write_bytes(gzip.compress(b"".join(lines)))
            job = await made.planned()
            assert await made.run_workers(job) == [0]
        for name in ("a.ndjson", "b.ndjson.gz"):
            row = (await made.ledger(job))[name]
            assert (row["status"], row["error"]) == ("done", None)
            assert (row["line"], row["sent"], row["skipped"], row["failed"]) == (10, 3, 1, 6)
            assert row["byte_offset"] == sum(map(len, lines))
        bad = await made.rows("SELECT * FROM bad_line WHERE job_id = $1 AND file_index = 0 ORDER BY line", job)
        assert [row["line"] for row in bad] == [2, 3, 4, 6, 7, 9]
        assert [row["byte_offset"] for row in bad] == [sum(map(len, lines[: row["line"] - 1])) for row in bad]
        assert [row["reason"].partition(":")[0] for row in bad] == [
            "not JSON",
            "JSON, but not an object",
            "not UTF-8",
            f"the line has {len(lines[5]) - 1} bytes, {LINE_LIMIT} are allowed",
            f"the line has 100000 bytes, {LINE_LIMIT} are allowed",
            "not JSON",
        ]
        assert all(len(row["sample"]) <= 512 for row in bad)
        sent = {(key.rpartition("/")[2], value) for key, value, _ in await made.messages()}
        good = [1, 8, 10]
        assert sent == {
            (f"{name}:{line}", lines[line - 1].rstrip(b"\n")) for name in ("a.ndjson", "b.ndjson.gz") for line in good
        }
        assert await made.judged(job, PlanState.SUCCEEDED) == ("completed", None)


async def test_a_damaged_file_fails_alone_and_is_read_again_once_it_is_mended(reprocessors: Reprocessors) -> None:
    events = reprocessors.events
    write_events(events, 2, 40)
    intact = gzip.compress(b"".join(event(f"d{line}") for line in range(2000)), compresslevel=1)
    damaged = bytearray(intact)
    damaged[len(damaged) // 2] ^= 0xFF
    broken = {
        "cut.ndjson.gz": (intact[:-400], "the gzip data breaks off: the file is truncated"),
        "damaged.ndjson.gz": (bytes(damaged), "the gzip data is damaged"),
        "tail.ndjson.gz": (intact + b"not gzip", "what follows a gzip member is not gzip"),
        "gone.ndjson": (event("gone"), "it is gone"),
        "changed.ndjson": (event("changed"), "it was written again since it was listed"),
    }
    for name, (content, _) in broken.items():
        (events / name).write_bytes(content)
    job = await reprocessors.planned()
    (events / "gone.ndjson").unlink()
    (events / "changed.ndjson").write_bytes(event("changed twice"))
    assert await reprocessors.run_workers(job) == [4]
    ledger = await reprocessors.ledger(job)
    assert {name for name, row in ledger.items() if row["status"] == "done"} == {"0000.ndjson.gz", "0001.ndjson.gz"}
    for name, (_, reason) in broken.items():
        assert ledger[name]["status"] == "failed"
        assert reason in ledger[name]["error"]
    assert all(row["line"] == row["sent"] + row["skipped"] + row["failed"] for row in ledger.values())
    assert await reprocessors.judged(job, PlanState.FAILED) == ("failed", "5 files failed")
    before = await reprocessors.delivered()

    for name in ("cut.ndjson.gz", "damaged.ndjson.gz", "tail.ndjson.gz"):
        (events / name).write_bytes(intact)
    again = await reprocessors.planned(retry_of=job)
    assert await reprocessors.run_workers(again) == [4], "one file stays gone"
    ledger = await reprocessors.ledger(again)
    assert {name: row["status"] for name, row in ledger.items()} == {
        name: "failed" if name == "gone.ndjson" else "done" for name in broken
    }
    after = await reprocessors.delivered()
    assert keys("cut.ndjson.gz", range(1, 2001)) <= set(after)
    untouched = keys("0000.ndjson.gz", range(1, 41))
    assert {key: after[key] for key in untouched} == {key: before[key] for key in untouched}, "only what failed"


async def test_a_retry_begins_at_the_start_line_of_its_own_file_alone_and_keeps_the_limit_of_the_first_job(
    reprocessors: Reprocessors,
) -> None:
    """Else a retry leaves out the first lines of another file for good, or sends more than its `limit`."""
    start, limited = reprocessors.events / "start", reprocessors.events / "limited"
    for folder, chosen, first in (
        (start, {"start_file": "0000.ndjson.gz", "start_line": 18}, [(0, 18, 21), (2, 1, 21)]),
        (limited, {"limit": 30}, [(0, 1, 21), (2, 1, 11)]),
    ):
        write_events(folder, 3, 20)
        given = {"local_path": str(folder), **chosen}
        missing = folder / "0001.ndjson.gz"
        content = missing.read_bytes()
        job = await reprocessors.planned(**given)
        missing.unlink()
        assert await reprocessors.run_workers(job) == [4], "one file is gone"
        await reprocessors.judged(job, PlanState.FAILED)
        sent = {key for file, begin, end in first for key in keys(f"{file:04}.ndjson.gz", range(begin, end))}
        assert await reprocessors.delivered(folder) == dict.fromkeys(sent, 1)
        missing.write_bytes(content)
        again = await reprocessors.planned(retry_of=job, **given)
        assert await reprocessors.run_workers(again) == [0]
        await reprocessors.judged(again, PlanState.SUCCEEDED)
        sent |= keys("0001.ndjson.gz", range(1, 21)) if folder == start else set()
        assert await reprocessors.delivered(folder) == dict.fromkeys(sent, 1)


CHOICES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "limit": ({"limit": 25}, keys("0000.ndjson.gz", range(1, 21)) | keys("0001.ndjson.gz", range(1, 6))),
    "nothing": ({"limit": 0}, set()),
    "dry run": ({"dry_run": True}, set()),
    "start": (
        {"start_file": "0001.ndjson.gz", "start_line": 18},
        keys("0001.ndjson.gz", range(18, 21)) | keys("0002.ndjson.gz", range(1, 21)),
    ),
    "files": ({"files": ["0002.ndjson.gz"]}, keys("0002.ndjson.gz", range(1, 21))),
    "streams": ({"stream_ids": ["nobody's"]}, set()),
    "on both bounds": (
        {"date_from": "2026-03-28T01:02:03.4Z", "date_to": "2026-03-28T01:02:03.4Z", "limit": 3},
        keys("0000.ndjson.gz", range(1, 4)),
    ),
    "too early": ({"date_from": "2026-03-28T01:02:03.400001Z"}, set()),
    "too late": ({"date_to": "2026-03-28T01:02:03.399999Z"}, set()),
}


async def test_exactly_what_was_chosen_is_sent(reprocessors: Reprocessors) -> None:
    for choice, (config, expected) in CHOICES.items():
        folder = reprocessors.events / choice
        write_events(folder, 3, 20)
        job = await reprocessors.planned(local_path=str(folder), **config)
        assert set(await reprocessors.run_workers(job)) == {0}, choice
        assert await reprocessors.delivered(folder) == dict.fromkeys(expected, 1), choice
        lines, sent, skipped, failed = await reprocessors.sums(job)
        assert (lines, failed) == (sent + skipped, 0), choice
        assert sent == (60 if choice == "dry run" else len(expected)), choice
        assert await reprocessors.judged(job, PlanState.SUCCEEDED) == ("completed", None), choice


async def test_connections_come_from_the_repository_by_each_name_of_a_stream(
    postgres_url: str, kafka_bootstrap: str, tmp_path: Path
) -> None:
    authorizations: list[str | None] = []
    streams = [
        {"stream": {"id": "s1", "slug": "clicks"}, "asynchronousDestinations": [{"connectionId": "a"}, {"id": "b"}]},
        {"id": "s2", "asynchronousDestinations": [{"connectionId": "c"}]},
    ]

    async def answer(request: web.Request) -> web.Response:
        authorizations.append(request.headers.get("Authorization"))
        return web.json_response(streams)

    async with receiver(answer) as site, reprocessors_on(postgres_url, kafka_bootstrap, tmp_path) as made:
        origins = [{"slug": "clicks"}, {"sourceId": "s1"}, {"source_id": "s2"}, {"sourceId": "unknown"}]
        content = b"".join(json.dumps({"origin": origin}).encode() + b"\n" for origin in origins)
        (made.events / "a.ndjson").write_bytes(content)
        async with made.reprocessing(repository_url=site.url, repository_auth_token="let-me-in"):
            job = await made.planned(connection_ids=[])
            assert await made.run_workers(job) == [0]
        assert authorizations == ["Bearer let-me-in"], "once at the start"
        found = {key.rpartition(":")[2]: headers["connection_ids"] for key, _, headers in await made.messages()}
        assert found == {"1": "a,b", "2": "a,b", "3": "c"}
        assert await made.sums(job) == (4, 3, 0, 1)
        assert "the repository knows no connection" in (await made.rows("SELECT reason FROM bad_line"))[0]["reason"]


async def test_the_state_that_is_published_says_how_a_bad_line_begins(reprocessors: Reprocessors) -> None:
    made = reprocessors
    (made.events / "a.ndjson").write_bytes(b'{"cut \xff\0' + b"x" * 2000 + b"\n" + event("good"))
    job = await made.planned()
    assert await made.run_workers(job) == [0]

    async def is_published() -> bool:
        states = [one for one in await made.published(topic("states.v1")) if isinstance(one, ReprocessingStated)]
        return any(line.sample.startswith('{"cut \ufffd\ufffdxx') for one in states for line in one.data.bad_lines)

    await wait_until(is_published, why="the sample is published")


async def test_a_worker_that_cannot_run_says_why_and_is_not_tried_again(
    postgres_url: str, kafka_bootstrap: str, tmp_path: Path
) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="<html>sign in</html>", content_type="text/html")

    async with receiver(answer) as site, reprocessors_on(postgres_url, kafka_bootstrap, tmp_path) as made:
        write_events(made.events, 1, 5)
        async with made.reprocessing(repository_url=site.url, reprocessing_topic="no-such-topic"):
            for connections, reason in (
                ([], "the repository answered text/html, not a JSON list of streams"),
                (["a"], "the destination topic no-such-topic: Broker: Unknown topic or partition"),
            ):
                job = await made.planned(connection_ids=connections)
                assert await made.run_workers(job) == [3]
                assert reason in await made.value("SELECT error FROM worker WHERE job_id = $1", job)
                assert await made.judged(job, PlanState.FAILED) == ("failed", "1 files were not read to their end")


async def test_a_line_that_the_broker_finds_too_large_is_a_bad_line_and_its_neighbours_are_good(
    postgres_url: str, kafka_bootstrap: str, tmp_path: Path
) -> None:
    async with reprocessors_on(postgres_url, kafka_bootstrap, tmp_path) as made:
        topic = f"small-{made.schema}"
        await create_destination(kafka_bootstrap, topic, **{"max.message.bytes": "20000"})
        content = [event(str(n), pad=os.urandom(40_000).hex() if n in (2, 5) else "") for n in range(1, 9)]
        (made.events / "a.ndjson").write_bytes(b"".join(content))
        async with made.reprocessing(reprocessing_topic=topic):
            job = await made.planned()
            assert await made.run_workers(job) == [0]
        assert await made.sums(job) == (8, 6, 0, 2), "those that were sent with it are good"
        bad = await made.rows("SELECT line, byte_offset, reason FROM bad_line ORDER BY line")
        assert [tuple(row) for row in bad] == [
            (line, sum(map(len, content[: line - 1])), "larger than a message may be") for line in (2, 5)
        ]
