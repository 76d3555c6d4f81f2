"""People sign in at a real OpenID provider: through a browser's redirects, forms and cookies, on a real gateway."""

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pydantic import SecretStr
from yarl import URL

from support.gateway import Gateway, running_gateway, second_gateway
from support.oidc import CALLBACK, CLIENT_ID, CLIENT_SECRET, Browser, Provider, browser, running_provider
from support.proofs import proves

BEGIN = "/api/v1/auth/oidc/login"
PEOPLE: dict[str, dict[str, Any]] = {
    "sub-carol": {"preferred_username": "carol", "email": "carol@example.com", "email_verified": True},
    "sub-ann": {"preferred_username": "A.nn", "email": "ann@example.com", "email_verified": True},
    "sub-eve": {"preferred_username": "eve", "email": "local@example.com", "email_verified": True},
    "sub-signalbox": {"preferred_username": "signalbox"},
}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def both(postgres_url: str, kafka_bootstrap: str) -> AsyncGenerator[tuple[Gateway, Provider]]:
    port = free_port()
    redirect_uri = f"http://127.0.0.1:{port}{CALLBACK}"
    async with (
        running_provider(redirect_uri, PEOPLE) as provider,
        running_gateway(
            postgres_url, kafka_bootstrap, api_port=port, oidc_issuer=provider.issuer, oidc_client_id=CLIENT_ID,
            oidc_client_secret=SecretStr(CLIENT_SECRET), oidc_redirect_url=redirect_uri, oidc_role="viewer",
            oidc_name="Example SSO",
        ) as api,
    ):  # fmt: skip
        yield api, provider


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def sign_in(api: Gateway, page: Browser, login: str, query: str = "") -> tuple[int, str, str]:
    return await page.come_back(await page.sign_in(await page.begin(f"{api.url}{BEGIN}{query}"), login))


async def me(api: Gateway, page: Browser) -> dict[str, Any]:
    async with page.session.get(f"{api.url}/api/v1/me") as answer:
        return await answer.json()


async def audited(api: Gateway, status: int) -> dict[str, Any]:
    """The newest entry of a login with this status."""
    query = "SELECT at, record FROM audit_pending UNION ALL SELECT at, record FROM audit ORDER BY at"
    async with api.connection() as connection:
        entries = [json.loads(row["record"]) for row in await connection.fetch(query)]
    return [one for one in entries if (one["action"], one["status"]) == ("auth_oidc_callback", status)][-1]


async def test_a_first_login_makes_an_account_and_the_next_one_finds_it(both: tuple[Gateway, Provider]) -> None:
    api, provider = both
    methods = await api.ask("GET", "/auth/methods", token="")
    assert methods["oidc"] == {"name": "Example SSO", "url": BEGIN}
    async with browser() as page:
        status, location, text = await sign_in(api, page, "sub-carol", "?return_to=/console/runs")
        assert (status, location) == (303, "/console/runs"), text
        mine = await me(api, page)
        assert (mine["name"], mine["bindings"]) == ("carol", [{"role": "viewer", "project": "*", "engine": "*"}])
        async with page.session.post(
            f"{api.url}/api/v1/auth/logout", json={}, headers={"X-CSRF-Token": mine["csrf_token"]}
        ) as out:
            assert out.status == 200, "the token of /me is the one of the session"
        assert (await me(api, page))["status"] == 401
    account = await api.ask("GET", "/users/carol")
    assert (account["email"], account["name"], account["kind"]) == ("carol@example.com", "Person sub-carol", "user")
    entry = await audited(api, 303)
    assert (entry["actor"], entry["target"]) == ("user:carol", "/users/carol")
    assert entry["after"] == {"issuer": provider.issuer, "subject": "sub-carol", "account_made": True}
    await provider.rotate_keys()
    api.identity.provider._keys_at -= 10
    async with browser() as page:
        assert (await sign_in(api, page, "sub-carol"))[0] == 303, "the rotated key is fetched"
        assert (await me(api, page))["name"] == "carol"
    assert (await audited(api, 303))["after"]["account_made"] is False


async def test_an_account_is_never_found_by_its_name_or_address(both: tuple[Gateway, Provider]) -> None:
    """Without it anyone who can choose a name at the provider gets an administrator's account."""
    api, _ = both
    await api.ask("POST", "/users", {"username": "local", "email": "local@example.com", "role": "operator"})
    names: list[str] = []
    for login in ("sub-ann", "sub-eve", "sub-signalbox"):
        async with browser() as page:
            await sign_in(api, page, login)
            names.append((await me(api, page))["name"])
    assert names == ["A.nn-2", "eve", "signalbox-2"]
    assert (await api.ask("GET", "/users/eve"))["email"] is None, "the address belongs to another account"
    await api.ask("PUT", "/users/eve", {"disabled": True})
    async with browser() as page:
        status, _, text = await sign_in(api, page, "sub-eve")
        assert status == 401
        assert "disabled" not in text, "why is for the audit"
    assert (await audited(api, 401))["detail"] == "disabled account"


async def test_who_does_not_agree_is_not_signed_in(both: tuple[Gateway, Provider]) -> None:
    api, _ = both
    async with browser() as page:
        back = await page.sign_in(await page.begin(f"{api.url}{BEGIN}"), "sub-carol", agree=False)
        status, _, text = await page.come_back(back)
    assert status == 401
    assert "you did not agree" in text
    assert text.startswith("<!doctype html>"), "a person reads it"
    assert (await audited(api, 401))["detail"] == "provider: access_denied"


@proves("gateway.store.oidc_logins: a login comes back once")
async def test_a_login_comes_back_once_and_to_its_own_browser(both: tuple[Gateway, Provider]) -> None:
    api, _ = both
    async with browser() as page, browser() as other, browser() as third:
        back = await page.sign_in(await page.begin(f"{api.url}{BEGIN}"), "sub-carol")
        assert "begun in another browser" in (await other.come_back(back))[2], "no cookie: a stolen address"
        await third.begin(f"{api.url}{BEGIN}")
        assert "belongs to another login" in (await third.come_back(back))[2], "the cookie of another login"
        kept = {one.key: one.value for one in page.session.cookie_jar}["signalbox_oidc"]
        assert (await page.come_back(back))[0] == 303
        page.session.cookie_jar.update_cookies({"signalbox_oidc": kept}, URL(f"{api.url}{CALLBACK}"))
        status, _, text = await page.come_back(back)
        assert (status, "came back before" in text) == (401, True)
        forged = f"{kept[:-3]}AAA"
        page.session.cookie_jar.update_cookies({"signalbox_oidc": forged}, URL(f"{api.url}{CALLBACK}"))
        assert "is not ours" in (await page.come_back(back))[2]
        fresh = await page.begin(f"{api.url}{BEGIN}")
        state = URL(fresh).query["state"]
        foreign = str(URL(f"{api.url}{CALLBACK}").with_query({"state": state, "code": "x", "iss": "https://evil"}))
        assert (await page.come_back(foreign))[0] == 401
    assert "another provider answered" in (await audited(api, 401))["detail"]


async def test_a_code_of_another_login_is_refused(both: tuple[Gateway, Provider]) -> None:
    """Its PKCE verifier is another one, so the provider refuses it."""
    api, _ = both
    async with browser() as page, browser() as other:
        stolen = URL(await other.sign_in(await other.begin(f"{api.url}{BEGIN}"), "sub-carol"))
        mine = URL(await page.sign_in(await page.begin(f"{api.url}{BEGIN}"), "sub-eve"))
        status, _, _ = await page.come_back(str(mine.update_query({"code": stolen.query["code"]})))
        assert status == 401
    assert (await audited(api, 401))["detail"] == "invalid_grant"


async def test_a_wrong_secret_is_the_operators_problem(
    both: tuple[Gateway, Provider], monkeypatch: pytest.MonkeyPatch
) -> None:
    api, _ = both
    monkeypatch.setattr(api.identity.provider, "client_secret", "wrong")
    async with browser() as page:
        status, _, text = await sign_in(api, page, "sub-carol")
    assert (status, "client id and secret" in text) == (503, True)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("return_to=https://evil.example/", "return_to"), ("return_to=//evil.example/", "return_to"),
        ("port=80&challenge=" + "a" * 43, "port"), ("port=5000", "challenge"), ("more=1", "more"),
    ],
)  # fmt: skip
async def test_a_login_goes_back_to_pages_of_ours_alone(both: tuple[Gateway, Provider], query: str, field: str) -> None:
    answer = await both[0].request("GET", f"/auth/oidc/login?{query}", token="")
    assert (answer.problem, answer.fields) == ((422, "invalid"), [field])


async def test_the_command_line_signs_in_with_a_browser(both: tuple[Gateway, Provider], tmp_path: Path) -> None:
    api, _ = both
    environment = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path)}
    for name in ("SIGNALBOX_TOKEN", "SIGNALBOX_API_URL", "SIGNALBOX_CONTEXT"):
        environment.pop(name, None)
    command = str(Path(sys.executable).with_name("signalbox"))
    run = await asyncio.create_subprocess_exec(
        command, "login", "--oidc", "--no-browser", "--url", api.url, env=environment, stderr=asyncio.subprocess.PIPE
    )
    assert run.stderr is not None
    async with asyncio.timeout(60), browser() as page:
        where = (await run.stderr.readline()).decode().split()[-1]
        assert where.startswith(f"{api.url}{BEGIN}?port="), where
        _, location, _ = await page.come_back(await page.sign_in(await page.begin(where), "sub-carol"))
        code = URL(location).query["code"]
        stolen = {"code": code, "verifier": "v" * 43}
        assert (await api.request("POST", "/auth/oidc/tokens", stolen, token="")).problem == (401, "unauthenticated")
        async with page.session.get(location) as answer:
            assert answer.status == 200
        assert await run.wait() == 0, (await run.stderr.read()).decode()
    who = await asyncio.create_subprocess_exec(
        command, "whoami", "-o", "name", env=environment, stdout=asyncio.subprocess.PIPE
    )
    assert (await who.communicate())[0].decode().strip() == "carol"


async def test_a_provider_that_is_away_is_a_clear_problem(both: tuple[Gateway, Provider]) -> None:
    """Last: it is killed between the two halves of a login. What is known of it stays for a while."""
    api, provider = both
    async with second_gateway(api, api_port=0, egress_allow="") as guarded:
        answer = await guarded.session.get(BEGIN, allow_redirects=False)
        assert answer.status == 503, "an internal address passes the guard only where the operator allows it"
    async with browser() as page:
        back = await page.sign_in(await page.begin(f"{api.url}{BEGIN}"), "sub-carol")
        provider.process.kill()
        await provider.process.wait()
        status, _, text = await page.come_back(back)
        assert (status, "does not answer" in text) == (503, True)
    api.identity.provider._metadata = None  # as after ten minutes
    answer = await api.session.get(BEGIN, allow_redirects=False)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
