"""What the API shows of reprocessing jobs to whom."""

import uuid
from collections.abc import AsyncGenerator

import pytest_asyncio

from signalbox_contracts.messages.reprocessing import BadLineSample, ReprocessingRecord, ReprocessingStatus
from signalbox_gateway.read_model import reprocessing
from support.gateway import Gateway, running_gateway

JOBS = "/api/admin/reprocessing/jobs"


@pytest_asyncio.fixture
async def gateway(postgres_url: str, kafka_bootstrap: str) -> AsyncGenerator[Gateway]:
    async with running_gateway(postgres_url, kafka_bootstrap) as gateway:
        yield gateway


async def test_how_a_bad_line_begins_is_shown_to_who_may_read_samples_alone(gateway: Gateway) -> None:
    bad = BadLineSample(path="/events/a.ndjson", line=3, byte=120, reason="not JSON", sample='{"email": "a@b')
    job = ReprocessingRecord(
        job_id=uuid.uuid4(), version=1, status=ReprocessingStatus("running"), bad_lines=(bad,)
    )  # fmt: skip
    async with gateway.connection() as connection:
        await reprocessing.write_states(connection, [job])
    place = {"path": "/events/a.ndjson", "line": 3, "byte": 120, "reason": "not JSON"}
    path = f"{JOBS}/{job.job_id}/bad-lines"

    reader = await gateway.another_token("reprocessing.read")
    assert (await gateway.request("GET", path, token=reader)).status == 403
    assert (await gateway.request("GET", f"{JOBS}/{job.job_id}", token=reader)).body["bad_lines"] == [place]

    sampler = await gateway.another_token("reprocessing.samples")
    shown = await gateway.request("GET", path, token=sampler)
    assert shown.body == {"bad_lines": [{**place, "sample": '{"email": "a@b'}]}
    assert (await gateway.request("GET", f"{JOBS}/{uuid.uuid4()}/bad-lines", token=sampler)).status == 404
