"""An Oozie that lets in nobody without a Kerberos ticket, and a key distribution centre of its own."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import aiohttp
import pytest

from engines.oozie import kdc
from engines.oozie.assembly import why_not
from engines.oozie.oozie_process import Hands, OozieProcess
from engines.oozie.world import World, until, watched
from signalbox_contracts.messages.tasks import Phase
from signalbox_executor.engines.oozie.adapter import OozieEngine
from signalbox_executor.engines.oozie.rest import Anonymous, Authentication, OozieRest
from signalbox_executor.engines.oozie.spnego import Spnego
from signalbox_executor.engines.oozie.storage import Storage
from signalbox_executor.engines.port import ENDS, EngineUnavailable

pytestmark = pytest.mark.engine


@pytest.fixture
async def guarded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[tuple[kdc.KeyCentre, OozieProcess]]:
    if reason := why_not() or kdc.why_not():
        pytest.skip(f"a real Oozie with Kerberos: {reason}")
    centre = await asyncio.to_thread(kdc.KeyCentre.started, tmp_path / "kdc")
    for name in ("KRB5_CONFIG", "KRB5CCNAME"):
        monkeypatch.setenv(name, centre.environment[name])
    server = OozieProcess.in_folder(tmp_path / "oozie").with_properties(
        {
            "java.security.krb5.conf": str(centre.config),
            "oozie.authentication.type": "kerberos",
            "oozie.authentication.kerberos.principal": f"{kdc.SERVICE}@{kdc.REALM}",
            "oozie.authentication.kerberos.keytab": str(centre.keytab),
            "oozie.authentication.kerberos.name.rules": "DEFAULT",
        }
    )
    await asyncio.to_thread(server.start)
    yield centre, server
    server.stop()
    centre.stop()


def engine_of(server: OozieProcess, authentication: Authentication) -> OozieEngine:
    url = f"http://localhost:{server.port}/oozie"
    rest = OozieRest("ooz", url, session=aiohttp.ClientSession, user="alice", authentication=authentication)
    return OozieEngine(rest, Storage(session=aiohttp.ClientSession, local_files=True))


async def test_work_runs_with_a_ticket_or_a_password_and_nobody_gets_in_without(
    guarded: tuple[kdc.KeyCentre, OozieProcess], tmp_path: Path
) -> None:
    centre, server = guarded
    world = World(Hands(server.url), tmp_path)
    nobody = engine_of(server, Anonymous())
    with pytest.raises(EngineUnavailable, match="does not accept our credentials"):
        await nobody.test_connection()
    without_ticket = engine_of(server, Spnego("ooz"))
    with pytest.raises(EngineUnavailable, match="no Kerberos ticket for HTTP/localhost"):
        await without_ticket.submit(world.submit("wf-fs3", "none"))
    await asyncio.to_thread(centre.log_in, "alice", "wonderland")
    for name, authentication in (("cache", Spnego("ooz")), ("password", Spnego("ooz", "alice", "wonderland"))):
        engine = engine_of(server, authentication)
        assert (await engine.test_connection())["user"] == "alice"
        submission = world.submit("wf-fs3", name)
        one, key = watched(submission, await engine.submit(submission)), submission.run_key
        seen = await until(
            lambda engine=engine, one=one: engine.observe([one]), lambda seen, key=key: seen[key].phase in ENDS
        )
        assert seen[submission.run_key].phase is Phase.SUCCEEDED
        await engine.close()
    await nobody.close()
    await without_ticket.close()
