"""Files in a real S3: read with a worker killed, noticed when they changed, refused with what S3 says."""

import gzip
from collections.abc import AsyncGenerator
from pathlib import Path
from uuid import uuid4

import obstore
import pytest
import pytest_asyncio
from obstore.store import S3Store

from support.ceph import ACCESS_KEY, SECRET_KEY, Ceph
from support.reprocessing import Reprocessors, event, keys, reprocessors_on

pytestmark = pytest.mark.s3


@pytest.fixture(scope="module")
def bucket(ceph: Ceph) -> str:
    name = f"events-{uuid4().hex[:8]}"
    ceph.make_bucket(name)
    store = S3Store(name, **ceph.options)
    for number in range(12):
        content = gzip.compress(b"".join(event(f"{number}-{line}") for line in range(500)))
        obstore.put(store, f"failover/{number:02}.ndjson.gz", content)
    obstore.put(store, "failover/notes.txt", b"not events")
    obstore.put(store, "failover-of-others/x.ndjson", event("x"))
    return name


@pytest_asyncio.fixture
async def from_s3(postgres_url: str, kafka_bootstrap: str, tmp_path: Path, ceph: Ceph) -> AsyncGenerator[Reprocessors]:
    async with reprocessors_on(postgres_url, kafka_bootstrap, tmp_path) as made:
        settings = {
            "aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY, "aws_default_region": "us-east-1",
            "aws_endpoint_url": ceph.endpoint,
        }  # fmt: skip
        async with made.reprocessing(**settings):
            yield made


async def test_a_prefix_is_read_once_with_a_worker_killed(from_s3: Reprocessors, bucket: str) -> None:
    job = await from_s3.planned(s3_path=f"s3://{bucket}/failover/", batch_size=100, max_events_per_second=4000)
    shown = await from_s3.job(job)
    assert (shown["total_files"], shown["total_workers"]) == (12, 2)
    victim = from_s3.start_worker(job)
    await from_s3.until_sent(job, 500)
    victim.kill()
    victim.wait()
    assert await from_s3.run_workers(job) == [0, 0]
    delivered = await from_s3.delivered()
    assert set(delivered) == set().union(*(keys(f"{number:02}.ndjson.gz", range(1, 501)) for number in range(12)))
    assert sum(delivered.values()) - 6000 <= 100
    assert await from_s3.sums(job) == (6000, 6000, 0, 0)


async def test_an_object_written_again_fails_and_the_others_go_on(
    from_s3: Reprocessors, bucket: str, ceph: Ceph
) -> None:
    store = S3Store(bucket, **ceph.options)
    for name in ("a", "b", "c"):
        obstore.put(store, f"changing/{name}.ndjson", event(name))
    job = await from_s3.planned(s3_path=f"s3://{bucket}/changing/")
    obstore.put(store, "changing/a.ndjson", event("another"))
    obstore.delete(store, "changing/b.ndjson")
    assert await from_s3.run_workers(job) == [4]
    found = {name: (row["status"], row["error"]) for name, row in (await from_s3.ledger(job)).items()}
    assert found == {
        "a.ndjson": ("failed", "it was written again since it was listed"),
        "b.ndjson": ("failed", "it is gone"),
        "c.ndjson": ("done", None),
    }


async def test_what_s3_refuses_is_said_at_once(from_s3: Reprocessors, bucket: str) -> None:
    assert "there is no such bucket" in await from_s3.refused(s3_path=f"s3://no-{bucket}/failover/")
    assert "there is no file" in await from_s3.refused(s3_path=f"s3://{bucket}/empty/")
