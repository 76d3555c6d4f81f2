"""Clean-ups on a real HDFS: WebHDFS shows what Oozie would delete, and Oozie deletes exactly that once confirmed.

The check `namenode` of the check engine is tried on the same cluster.
"""

from collections.abc import Generator
from typing import Any

import aiohttp
import pytest

from engines.oozie.assembly import why_not
from engines.oozie.hdfs_cluster import HdfsCluster
from engines.oozie.oozie_process import OozieProcess
from engines.oozie.product import DONE, ENDS, actions, items, plan_in
from engines.oozie.world import World
from signalbox_chassis.security.egress import EgressGuard
from signalbox_contracts.definitions.work import NameNodeCheck
from signalbox_executor.engines.check.probes import Limits, NotReady, probe
from signalbox_executor.engines.oozie.storage import Storage
from support.full_stack import FullStack

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def hdfs(tmp_path_factory: pytest.TempPathFactory) -> Generator[HdfsCluster]:
    if reason := why_not():
        pytest.skip(f"a real HDFS: {reason}")
    cluster = HdfsCluster.in_folder(tmp_path_factory.mktemp("hdfs"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


async def test_a_name_node_is_ready_with_enough_data_nodes_and_outside_safe_mode(hdfs: HdfsCluster) -> None:
    """Without it the check is known to work with recorded answers only."""
    limits = Limits(guard=EgressGuard("127.0.0.1"))

    async def check(**fields: Any) -> str:
        return await probe(NameNodeCheck(type="namenode", url=hdfs.url, **fields), limits)

    assert await check(min_live_datanodes=1) == "the NameNode is Operational, 1 DataNodes live"
    with pytest.raises(NotReady, match="1 DataNodes live: 2 are needed"):
        await check(min_live_datanodes=2)
    hdfs.safe_mode("enter")
    try:
        with pytest.raises(NotReady, match="'safeMode', not Operational"):
            await check()
        assert "1 DataNodes live" in await check(allow_safe_mode=True)
    finally:
        hdfs.safe_mode("leave")


async def test_a_directory_is_described_with_all_that_lies_below_it(hdfs: HdfsCluster) -> None:
    hdfs.write("/described/part=1/old", b"123")
    hdfs.write("/described/part=2/sub/new", b"12345")
    hdfs.call("PUT", "/described/part=1/old", "SETTIMES", modificationtime="1000")
    hdfs.call("PUT", "/described/closed", "MKDIRS")
    hdfs.call("PUT", "/described/closed", "SETPERMISSION", permission="700")
    hdfs.call("PUT", "/empty dir", "MKDIRS")
    storage = Storage(session=aiohttp.ClientSession, webhdfs_url=hdfs.url, user=hdfs.user)
    found = await storage.describe("hdfs://nn/described")
    assert found.startswith("2 files, 8 bytes, the newest is part=2/sub/new of 20"), found
    assert await storage.describe("hdfs://nn/empty%20dir") == "0 files, 0 bytes"
    assert await storage.describe("hdfs://nn/nowhere") == "does not exist"
    stranger = Storage(session=aiohttp.ClientSession, webhdfs_url=hdfs.url, user="bob")
    assert (await stranger.describe("hdfs://nn/described")).startswith("its content cannot be read: ")
    away = Storage(session=aiohttp.ClientSession, webhdfs_url="http://127.0.0.1:1", user=hdfs.user)
    assert (await away.describe("hdfs://nn/described")).startswith("its content cannot be read: ")


async def test_a_clean_up_on_hdfs_is_previewed_confirmed_and_carried_out(
    hdfs: HdfsCluster, world: World, stack: FullStack, oozie: OozieProcess
) -> None:
    connection = {"kind": "oozie", "url": oozie.url, "user": "alice", "webhdfs_url": hdfs.url}
    body = {"id": "ooz-hdfs", "name": "Oozie", "connection": connection, "observe_every_seconds": 0.2}
    await stack.ask("POST", "/engines", body)
    world.touch("raws/2026-01-01/_READY")
    world.touch("raws/2026-01-01/_GATE")
    hdfs.call("PUT", "/outs", "MKDIRS", permission="777")
    coordinator = await world.coordinator("coord-data", days=1, outs=f"{hdfs.root}/outs")
    assert (await world.hands.until(coordinator, DONE))["status"] == "SUCCEEDED"
    hdfs.write("/outs/2026-01-01/part-0", b"12345")
    hdfs.write("/outs/2026-01-02/part-0", b"not of this action")
    selection = {"engine": "ooz-hdfs", "selection": actions(coordinator, clean_up=True, policy="all")}
    made = await stack.ask("POST", "/plans", {"selections": [selection], "preview": True})
    plan = await plan_in(stack, made["id"], {"PREVIEWED", "REFUSED"})
    assert plan["state"] == "PREVIEWED", plan["reason"]
    (item,) = await items(stack, plan)
    (listed,) = item["deletes"]
    assert listed.startswith(f"{hdfs.root}/outs/2026-01-01: "), listed
    assert "5 bytes, the newest is part-0 of 20" in listed
    assert hdfs.exists("/outs/2026-01-01/part-0")
    hdfs.write("/outs/2026-01-01/part-1", b"arrived after the preview")
    confirmed = {"preview_hash": plan["preview_hash"], "confirm_deletions": True}
    await stack.ask("POST", f"/plans/{plan['id']}/apply", confirmed)
    refused = await plan_in(stack, plan["id"], ENDS)
    assert refused["state"] == "REFUSED"
    assert [one["key"] for one in refused["difference"]["changed"]] == [f"{coordinator}@1"]
    assert hdfs.exists("/outs/2026-01-01/part-1")
    again = await stack.ask("POST", "/plans", {"selections": [selection], "preview": True})
    plan = await plan_in(stack, again["id"], {"PREVIEWED", "REFUSED"})
    confirmed = {"preview_hash": plan["preview_hash"], "confirm_deletions": True}
    await stack.ask("POST", f"/plans/{plan['id']}/apply", confirmed)
    assert (await plan_in(stack, plan["id"], ENDS))["state"] == "SUCCEEDED"
    assert not hdfs.exists("/outs/2026-01-01/part-0")
    assert hdfs.exists("/outs/2026-01-02/part-0")
