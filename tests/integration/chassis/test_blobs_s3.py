"""Blobs on a real S3 server: the same checks as on a folder, and what only S3 can get wrong."""

from uuid import uuid4

import pytest

from signalbox_chassis.blobs import BlobMissing, Blobs, BlobStoreFailed
from support.blob_checks import CHECKS, Check
from support.ceph import Ceph

pytestmark = pytest.mark.s3


@pytest.fixture(scope="session")
def bucket(ceph: Ceph) -> str:
    ceph.make_bucket("signalbox-test")
    return "signalbox-test"


@pytest.fixture
def blobs(ceph: Ceph, bucket: str) -> Blobs:
    return Blobs(f"s3://{bucket}/tests/{uuid4()}", **ceph.options)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_on_s3(check: Check, blobs: Blobs) -> None:
    await check(blobs)


async def test_prefixes_of_one_bucket_do_not_see_each_other(ceph: Ceph, bucket: str) -> None:
    one, other = (Blobs(f"s3://{bucket}/{name}", **ceph.options) for name in ("one", "one-more"))
    await one.write("logs/a", b"one's")
    assert await other.list("logs") == []
    with pytest.raises(BlobMissing):
        await other.read("logs/a")


async def test_a_wrong_secret_and_a_missing_bucket_are_failures_of_the_store(ceph: Ceph, bucket: str) -> None:
    stranger = Blobs(f"s3://{bucket}/x", **{**ceph.options, "secret_access_key": "not-the-secret"})
    with pytest.raises(BlobStoreFailed, match="PermissionDenied"):
        await stranger.read("key")
    with pytest.raises(BlobStoreFailed, match="NoSuchBucket"):
        await Blobs("s3://no-such-bucket/x", **ceph.options).write("key", b"")


async def test_a_store_that_does_not_answer_is_a_failure_within_bounds(ceph: Ceph) -> None:
    nobody = {**ceph.options, "endpoint": "http://127.0.0.1:9", "retry_config": {"max_retries": 1}}
    with pytest.raises(BlobStoreFailed) as failed:
        await Blobs("s3://bucket/x", **nobody).read("key")
    assert "\n" not in str(failed.value)
