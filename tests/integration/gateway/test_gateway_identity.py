"""People sign in, programs use keys, roles say who may do what: on a real gateway, and on two at once."""

import asyncio
import base64
import io
import json
import os
import sys
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from joserfc import jwt
from joserfc.jwk import OctKey, OKPKey

from support.deadlines import wait_until
from support.gateway import JOB, SCRIPTED, Answer, Gateway, running_gateway, second_gateway

GOOD = "four unrelated words here"
OTHER = "quite another sentence"
COMMAND = Path(sys.executable).with_name("signalbox")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(postgres_url: str, kafka_bootstrap: str) -> AsyncGenerator[Gateway]:
    async with running_gateway(postgres_url, kafka_bootstrap, token_cache_seconds=0.5, logins_per_minute=1_000) as made:
        await made.ask("POST", "/engines", SCRIPTED)
        await made.ask("POST", "/engines", {**SCRIPTED, "id": "other"})
        await made.ask("POST", "/jobs", {**JOB, "id": "lake-job", "project": "lake"})
        await made.ask("POST", "/jobs", {**JOB, "id": "sea-job", "project": "sea", "engine": "other"})
        yield made


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def person(api: Gateway, name: str, role: str | None = None, **where: str) -> dict[str, Any]:
    """A new person's login, with a role."""
    await api.ask("POST", "/users", {"username": name, "password": GOOD, "email": f"{name}@example.com"})
    if role is not None:
        await api.ask("POST", "/bindings", {"username": name, "role": role, **where})
    return await login(api, name)


async def login(api: Gateway, name: str, password: str = GOOD, **more: Any) -> dict[str, Any]:
    return await api.ask("POST", "/auth/login", {"username": name, "password": password, **more}, token="")


async def test_a_person_registers_logs_in_goes_on_and_logs_out(api: Gateway) -> None:
    """The requests of the document, with its fields."""
    body = {"username": "user", "email": "user@example.com", "name": "User Name", "password": GOOD}
    made = await api.ask("POST", "/auth/register", body, token="")
    assert made["username"] == "user"
    assert "password" not in json.dumps(made)
    first = await login(api, "user")
    me = await api.ask("GET", "/me", token=first["access_token"])
    assert (me["name"], me["bindings"]) == ("user", [{"role": "user", "project": "*", "engine": "*"}])
    second = await api.ask("POST", "/auth/refresh", {"refresh_token": first["refresh_token"]}, token="")
    assert second["refresh_token"] != first["refresh_token"]
    again = await api.ask("POST", "/auth/refresh", {"refresh_token": first["refresh_token"]}, token="")
    assert again["refresh_token"] == second["refresh_token"], "its answer may have been lost"
    assert await api.ask("POST", "/auth/logout", {}, token=second["access_token"]) == {"sessions": 1}
    assert (await api.request("GET", "/me", token=first["access_token"])).status == 401


async def test_a_refresh_token_that_comes_a_second_time_ends_its_session(api: Gateway) -> None:
    """Without it a stolen token would be good for as long as its owner's."""
    tokens = [await person(api, "reused", "viewer")]
    for _ in range(2):
        body = {"refresh_token": tokens[-1]["refresh_token"]}
        tokens.append(await api.ask("POST", "/auth/refresh", body, token=""))
    replayed = await api.request("POST", "/auth/refresh", {"refresh_token": tokens[0]["refresh_token"]}, token="")
    assert replayed.problem == (401, "unauthenticated")
    newest = await api.request("POST", "/auth/refresh", {"refresh_token": tokens[-1]["refresh_token"]}, token="")
    assert newest.status == 401
    assert (await api.request("GET", "/me", token=tokens[-1]["access_token"])).status == 401
    forged = tokens[-1]["refresh_token"][:-3] + "AAA"
    assert (await api.request("POST", "/auth/refresh", {"refresh_token": forged}, token="")).status == 401


async def test_a_changed_password_ends_every_session_and_the_old_one_is_worthless(api: Gateway) -> None:
    before = await person(api, "changer", "viewer")
    wrong = await api.request(
        "POST", "/auth/password", {"current_password": OTHER, "new_password": OTHER}, token=before["access_token"]
    )
    assert wrong.fields == ["current_password"]
    body = {"current_password": GOOD, "new_password": OTHER}
    assert await api.ask("POST", "/auth/password", body, token=before["access_token"]) == {"sessions": 1}
    assert (await api.request("GET", "/me", token=before["access_token"])).status == 401
    old = await api.request("POST", "/auth/login", {"username": "changer", "password": GOOD}, token="")
    assert old.problem == (401, "unauthenticated")
    assert (await login(api, "changer@example.com", OTHER))["username"] == "changer"


def encoded(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


def forged(claims: dict[str, Any], key: Any, header: dict[str, Any]) -> str:
    return jwt.encode(header, claims, key, algorithms=[header["alg"]])


async def test_no_token_but_ours_is_taken(api: Gateway) -> None:
    """The usual attacks on tokens, each on a token that is good but for one thing."""
    good = (await person(api, "token-owner", "viewer"))["access_token"]
    head, body, signature = good.split(".")
    header = json.loads(base64.urlsafe_b64decode(head + "=="))
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    assert header["alg"] == "Ed25519"
    assert {"iss", "aud", "sub", "exp", "nbf", "iat", "jti", "sid", "ver"} <= set(claims)
    (public,) = [one for one in (await api.ask("GET", "/.well-known/jwks.json"))["keys"] if one["kid"] == header["kid"]]
    assert "d" not in public
    mine = OKPKey.generate_key("Ed25519")
    none = encoded({**header, "alg": "none"})
    raw = base64.urlsafe_b64decode(public["x"] + "==")
    attacks = {
        "alg none": f"{none}.{body}.",
        "alg none, signed": f"{none}.{body}.{signature}",
        "HS256 with the public key": forged(claims, OctKey.import_key(raw), {**header, "alg": "HS256"}),
        "another key": forged(claims, mine, header),
        "another kid": forged(claims, mine, {**header, "kid": "0000000000000000"}),
        "no signature": f"{head}.{body}.",
        "a claim changed": f"{head}.{encoded({**claims, 'sub': 'ann'})}.{signature}",
        "not a token": "a.b.c",
        "a long one": f"{head}.{'A' * 50_000}.{signature}",
    }
    for name, attack in attacks.items():
        answer = await api.request("GET", "/me", token=attack)
        assert answer.problem == (401, "unauthenticated"), name
    assert (await api.request("GET", "/me", token=good)).status == 200


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"exp": -60}, "expired"), ({"nbf": 600, "iat": 600}, "not yet valid"), ({"iss": "elsewhere"}, "issuer"),
        ({"aud": "another-api"}, "audience"), ({"ver": 99}, "version"), ({"sid": "0" * 32}, "session"),
        ({"sub": "ann"}, "subject"), ({"sub": None}, "no subject"),
    ],
)  # fmt: skip
async def test_a_token_signed_by_us_with_a_wrong_claim_is_refused(
    api: Gateway, changes: dict[str, Any], why: str
) -> None:
    identity = api.identity
    owner = "claims-owner"
    if not await api.value("SELECT count(*) FROM principal WHERE name = $1", owner):
        await person(api, owner, "viewer")
    tokens = await login(api, owner)
    claims = json.loads(base64.urlsafe_b64decode(tokens["access_token"].split(".")[1] + "=="))
    now = int(time.time())
    moved = {
        name: now + value if isinstance(value, int) and name != "ver" else value for name, value in changes.items()
    }
    key = await identity.keys.current()
    token = forged({**claims, **moved}, key, {"alg": "Ed25519", "kid": key.kid})
    assert (await api.request("GET", "/me", token=token)).problem == (401, "unauthenticated"), why


async def test_a_signing_key_rotates_and_tokens_of_the_one_before_stay_good(api: Gateway) -> None:
    before = (await person(api, "rotated", "viewer"))["access_token"]
    kid = await api.identity.keys.rotate()
    after = (await login(api, "rotated"))["access_token"]
    assert json.loads(base64.urlsafe_b64decode(after.split(".")[0] + "=="))["kid"] == kid
    for token in (before, after):
        assert (await api.request("GET", "/me", token=token)).status == 200
    assert {len(one["kid"]) for one in (await api.ask("GET", "/.well-known/jwks.json"))["keys"]} == {16}


async def test_a_browser_keeps_a_cookie_and_proves_that_its_page_calls(api: Gateway) -> None:
    """A page of another site can send the cookie, but not read the token."""
    await person(api, "browser", "operator")
    answer = await api.request(
        "POST", "/auth/login", {"username": "browser", "password": GOOD, "cookie": True}, token=""
    )
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert answer.body["refresh_token"] is None
    sent = {"Cookie": cookie.partition(";")[0]}
    assert (await api.request("GET", "/me", token="", headers=sent)).body["name"] == "browser"
    body = {"id": "by-cookie", **{name: JOB[name] for name in ("engine", "work")}}
    for wrong in ({}, {"X-CSRF-Token": "x" * 43}):
        refused = await api.request("POST", "/jobs", body, token="", headers={**sent, **wrong})
        assert refused.problem == (403, "forbidden")
    good = {**sent, "X-CSRF-Token": answer.body["csrf_token"]}
    assert (await api.request("POST", "/jobs", body, token="", headers=good)).status == 201
    assert (await api.request("POST", "/auth/logout", {}, token="", headers=good)).status == 200
    assert (await api.request("GET", "/me", token="", headers=sent)).status == 401


async def test_a_key_may_do_what_its_scopes_and_its_account_may(api: Gateway) -> None:
    await api.ask("POST", "/users", {"username": "loader", "kind": "service", "role": "user"})
    made = await api.ask(
        "POST", "/keys", {"username": "loader", "scopes": ["plan.read", "job.read", "job.write"], "days": 1}
    )
    key = made["key"]
    assert (await api.request("GET", "/plans", token=key)).status == 200
    assert (await api.request("GET", "/tasks", token=key)).problem == (403, "forbidden")
    assert (await api.request("POST", "/jobs", {**JOB, "id": "x"}, token=key)).problem == (403, "forbidden")
    shown = await api.ask("GET", f"/keys/{made['id']}")
    assert shown["last_used_at"] is not None
    assert "key" not in shown
    assert not await api.value("SELECT count(*) FROM idempotency WHERE answer LIKE $1", f"%{key}%")
    more = await api.request("POST", "/keys", {"scopes": ["task.read"]}, token=key)
    assert more.status == 403
    assert (await api.request("DELETE", f"/keys/{made['id']}")).status == 204
    assert (await api.request("GET", "/plans", token=key)).status == 401


async def test_a_key_for_accounts_alone_gives_nobody_a_role(api: Gateway) -> None:
    made = await api.ask("POST", "/keys", {"scopes": ["user.read", "user.write"]})
    key, password = made["key"], "correct-horse-battery-7"
    await person(api, "an-operator", "operator")
    new = {"username": "by-a-key", "password": password}
    assert (await api.request("POST", "/users", {**new, "role": "admin"}, token=key)).problem == (403, "forbidden")
    assert (await api.request("GET", "/users/by-a-key")).status == 404
    taken = await api.request("PUT", "/users/an-operator", {"password": password}, token=key)
    assert taken.problem == (403, "forbidden")
    assert (await api.request("POST", "/users", new, token=key)).status == 201
    assert (await api.request("PUT", "/users/by-a-key", {"password": f"{password}8"}, token=key)).status == 200
    assert (await api.request("PUT", "/users/an-operator", {"name": "Ann"}, token=key)).status == 200


async def test_a_person_of_one_project_sees_and_changes_that_project_alone(api: Gateway) -> None:
    token = (await person(api, "lake-operator", "operator", project="lake"))["access_token"]

    async def call(method: str, path: str, body: Any = None) -> Answer:
        return await api.request(method, path, body, token=token)

    assert [one["id"] for one in (await call("GET", "/jobs")).body["items"]] == ["lake-job"]
    assert (await call("GET", "/jobs/sea-job")).problem == (404, "not-found")
    assert (await call("DELETE", "/jobs/sea-job")).problem == (404, "not-found")
    moved = {**JOB, "id": "lake-job", "project": "sea"}
    assert (await call("PUT", "/jobs/lake-job", moved)).problem == (403, "forbidden")
    assert (await call("POST", "/jobs", {**JOB, "id": "mine", "project": "sea"})).problem == (403, "forbidden")
    assert (await call("POST", "/jobs", {**JOB, "id": "mine", "project": "lake"})).status == 201
    schedule = {"id": "s", "project": "lake", "cron": "0 2 * * *", "target": {"kind": "job", "id": "sea-job"}}
    assert (await call("POST", "/schedules", schedule)).problem == (403, "forbidden"), "it would start sea's work"
    async with api.connection() as connection:  # the answer would name fields of sea's job
        body = await connection.fetchval("SELECT body FROM definition WHERE id = 'sea-job'")
        await connection.execute("UPDATE definition SET body = '{}' WHERE id = 'sea-job'")
        assert (await call("POST", "/schedules", schedule)).problem == (403, "forbidden")
        await connection.execute("UPDATE definition SET body = $1 WHERE id = 'sea-job'", body)
    assert await api.value("SELECT project FROM definition WHERE id = 'lake-job'") == "lake"
    started = await call("POST", "/jobs/lake-job/start", {})
    assert started.status == 202
    assert (await call("POST", "/jobs/sea-job/start", {})).status == 404
    sea = await api.ask("POST", "/jobs/sea-job/start", {})
    assert [one["id"] for one in (await call("GET", "/plans")).body["items"]] == [started.body["id"]]
    assert (await call("GET", "/plans/counts")).body == {"counts": {"ACCEPTED": 1}}
    assert (await call("GET", f"/plans/{sea['id']}")).status == 404
    assert (await call("POST", f"/plans/{sea['id']}/cancel", {})).status == 404
    items = {"items": [{"key": "a", "engine": "scripted", "work": JOB["work"]}]}
    assert (await call("POST", "/plans", items)).problem == (403, "forbidden"), "it is of the project default"
    for path in ("/status", "/users", "/dead-letters", "/secrets", "/events"):
        assert (await call("GET", path)).problem == (403, "forbidden"), path


async def test_an_administrator_of_one_project_stops_nothing_else_and_lifts_no_freeze_of_others(api: Gateway) -> None:
    """A freeze acts on what it names, whatever its own project is: without a name it holds everything."""
    token = (await person(api, "lake-admin", "admin", project="lake"))["access_token"]
    freeze = {"id": "f", "project": "lake", "reason": "x"}
    for wider in ({}, {"projects": ["sea"]}, {"projects": ["lake", "sea"]}, {"engines": ["scripted"]}):
        answer = await api.request("POST", "/freezes", {**freeze, **wider}, token=token)
        assert answer.problem == (403, "forbidden"), wider
    assert (await api.request("POST", "/freezes", {**freeze, "projects": ["lake"]}, token=token)).status == 201
    assert (await api.request("PUT", "/freezes/f", freeze, token=token)).problem == (403, "forbidden")
    await api.ask("POST", "/freezes", {**freeze, "id": "of-all"})
    lifted = {**freeze, "projects": ["lake"]}
    assert (await api.request("PUT", "/freezes/of-all", lifted, token=token)).problem == (403, "forbidden")
    assert (await api.request("DELETE", "/freezes/of-all", token=token)).problem == (403, "forbidden")
    async with api.connection() as connection:  # what cannot be read may hold everything
        body = await connection.fetchval("SELECT body FROM definition WHERE id = 'f'")
        await connection.execute("UPDATE definition SET body = '{}' WHERE id = 'f'")
        assert (await api.request("PUT", "/freezes/f", lifted, token=token)).problem == (403, "forbidden")
        assert (await api.request("DELETE", "/freezes/f", token=token)).problem == (403, "forbidden")
        await connection.execute("UPDATE definition SET body = $1 WHERE id = 'f'", body)
    assert (await api.request("DELETE", "/freezes/f", token=token)).status == 204
    await api.ask("DELETE", "/freezes/of-all")


async def test_a_viewer_of_one_project_sees_what_holds_its_work_and_no_more(api: Gateway) -> None:
    """Without it a person of one project does not learn why its work waits: the status is not for them."""
    token = (await person(api, "lake-reader", "viewer", project="lake"))["access_token"]
    engine = (await person(api, "other-reader", "viewer", engine="other"))["access_token"]
    ends = "2099-01-01T00:00:00Z"
    frozen: dict[str, dict[str, Any]] = {
        "n-both": {"projects": ["lake", "sea"], "ends_at": ends}, "n-sea": {"projects": ["sea"]},
        "n-engines": {"engines": ["scripted", "other"]}, "n-other": {"engines": ["other"]}, "n-all": {},
        "n-later": {"starts_at": ends},
    }  # fmt: skip
    for id, values in frozen.items():
        await api.ask("POST", "/freezes", {"id": id, "project": "ops", "reason": id, **values})
    try:
        assert (await api.ask("GET", "/freezes", token=token))["items"] == []
        shown = (await api.ask("GET", "/me/freezes", token=token))["items"]
        assert [(one["reason"], one["projects"], one["engines"]) for one in shown] == [
            ("n-all", [], []), ("n-both", ["lake"], []), ("n-engines", [], ["scripted"])
        ]  # fmt: skip
        assert [one["everything"] for one in shown] == [True, False, False]
        assert shown[1]["until_at"] == ends
        assert set(shown[0]) == {"reason", "mode", "since_at", "until_at", "everything", "engines", "projects"}
        of_engine = (await api.ask("GET", "/me/freezes", token=engine))["items"]
        assert [(one["reason"], one["engines"]) for one in of_engine if one["engines"]] == [
            ("n-engines", ["other"]), ("n-other", ["other"])
        ]  # fmt: skip
        everything = (await api.ask("GET", "/me/freezes"))["items"]
        assert [one["reason"] for one in everything] == ["n-all", "n-both", "n-engines", "n-other", "n-sea"]
    finally:
        for id in frozen:
            await api.ask("DELETE", f"/freezes/{id}")


async def test_who_has_the_default_project_alone_is_not_notified_of_the_others(api: Gateway) -> None:
    """A subscription of the project `default` gets the events of every project."""
    token = (await person(api, "default-operator", "operator", project="default"))["access_token"]
    channel = {"id": "c", "destination": {"kind": "websocket"}}
    assert (await api.request("POST", "/channels", channel, token=token)).status == 201
    answer = await api.request("POST", "/subscriptions", {"id": "s", "channel": "c", "events": ["*"]}, token=token)
    assert answer.problem == (403, "forbidden"), answer.text


async def test_a_person_of_one_engine_sees_what_runs_there(api: Gateway) -> None:
    token = (await person(api, "engine-viewer", "viewer", engine="other"))["access_token"]
    assert [one["id"] for one in (await api.ask("GET", "/jobs", token=token))["items"]] == ["sea-job"]
    assert [one["id"] for one in (await api.ask("GET", "/engines", token=token))["items"]] == ["other"]
    assert all(one["target"] == "job:sea-job" for one in (await api.ask("GET", "/plans", token=token))["items"])


async def test_a_user_cancels_what_it_started_and_nothing_else(api: Gateway) -> None:
    mine = (await person(api, "starter", "user"))["access_token"]
    other = await api.ask("POST", "/jobs/lake-job/start", {})
    own = await api.ask("POST", "/jobs/lake-job/start", {}, token=mine)
    assert (await api.request("POST", f"/plans/{other['id']}/cancel", {}, token=mine)).problem == (403, "forbidden")
    assert (await api.request("POST", f"/plans/{own['id']}/cancel", {}, token=mine)).status == 202
    assert (await api.request("POST", "/jobs", {**JOB, "id": "not-mine"}, token=mine)).problem == (403, "forbidden")


async def test_a_revoked_role_is_gone_on_two_gateways_within_five_seconds(api: Gateway) -> None:
    token = (await person(api, "revoked"))["access_token"]
    binding = await api.ask("POST", "/bindings", {"username": "revoked", "role": "viewer"})
    async with second_gateway(api, token_cache_seconds=5.0) as other:

        async def refused_on_both() -> bool:
            answers = await asyncio.gather(*(one.request("GET", "/plans", token=token) for one in (api, other)))
            return [one.status for one in answers] == [403, 403]

        await wait_until(_allowed(other, token), seconds=10, why="the role holds")
        assert (await api.request("DELETE", f"/bindings/{binding['id']}")).status == 204
        await wait_until(refused_on_both, seconds=6, why="the role is gone on both")


def _allowed(api: Gateway, token: str) -> Any:
    async def allowed() -> bool:
        return (await api.request("GET", "/plans", token=token)).status == 200

    return allowed


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"password": "short"}, "password"), ({"password": "password123"}, "password"),
        ({"password": "a" * 72}, "password"),
        ({"password": "xY7 " * 18}, "password"), ({"password": "bad-input-9 is the name"}, "password"),
        ({"username": "ANN"}, "username"), ({"username": "a.n-n"}, "username"), ({"username": "-x"}, "username"),
        ({"username": "anonymous"}, "username"), ({"username": "ann\u0430"}, "username"),
        ({"email": "none"}, "email"), ({"email": "a@b"}, "email"), ({"email": "taken@example.com"}, "email"),
        ({"more": 1}, "more"), ({"password": 123_456}, "password"),
    ],
)  # fmt: skip
async def test_a_bad_registration_names_the_field_and_changes_nothing(
    api: Gateway, body: dict[str, Any], field: str
) -> None:
    if not await api.value("SELECT count(*) FROM principal WHERE name = 'taken'"):
        await person(api, "taken")
    before = await api.value("SELECT count(*) FROM principal")
    written = {"username": "bad-input-9", "email": "b@example.com", "name": "", "password": GOOD, **body}
    answer = await api.request("POST", "/auth/register", written, token="")
    assert (answer.problem, answer.fields) == ((422, "invalid"), [field])
    assert str(body.get("password", "\0")) not in answer.text
    assert await api.value("SELECT count(*) FROM principal") == before


async def test_a_password_of_a_mebibyte_is_refused_before_it_is_hashed(api: Gateway) -> None:
    body = {"username": "ann", "password": "a" * 2048}
    assert (await api.request("POST", "/auth/login", body, token="")).problem == (422, "invalid")
    large = io.BytesIO(json.dumps({"username": "ann", "password": "a" * 1_048_576}).encode())
    assert (await api.request("POST", "/auth/login", data=large, token="")).problem == (413, "too-large")


async def test_bad_keys_and_bindings_name_the_field(api: Gateway) -> None:
    for path, body, field in (
        ("/keys", {"scopes": ["plan.fly"]}, "scopes.0"),
        ("/keys", {"username": "nobody-here"}, "username"),
        ("/bindings", {"username": "ann", "role": "viewer", "project": "atlantis"}, "project"),
        ("/bindings", {"username": "ann", "role": "viewer", "engine": "atlantis"}, "engine"),
        ("/bindings", {"username": "nobody-here", "role": "viewer"}, "username"),
        ("/bindings", {"username": "ann", "role": "king"}, "role"),
    ):
        assert (await api.request("POST", path, body)).fields == [field]


async def test_the_last_administrator_cannot_remove_itself(api: Gateway) -> None:
    """Without it nobody could let anybody in again."""
    (binding,) = (await api.ask("GET", "/bindings?username=ann&role=admin"))["items"]
    for method, path, body in (
        ("DELETE", f"/bindings/{binding['id']}", None),
        ("PUT", "/users/ann", {"disabled": True}),
        ("DELETE", "/users/ann", None),
    ):
        answer = await api.request(method, path, body)
        assert answer.problem == (409, "conflict")
        assert answer.fields
    assert (await api.request("GET", "/users/ann")).body["disabled"] is False


async def refusals(api: Gateway) -> list[dict[str, Any]]:
    """Every entry of a refusal, the oldest first."""
    query = "SELECT at, record FROM audit_pending UNION ALL SELECT at, record FROM audit ORDER BY at"
    async with api.connection() as connection:
        entries = [json.loads(row["record"]) for row in await connection.fetch(query)]
    return [one for one in entries if one["outcome"] != "done"]


async def test_each_attack_on_a_credential_is_in_the_audit_trail(api: Gateway) -> None:
    """A forged token, a replayed refresh token, a revoked key, an old password, a cookie without its token."""
    tokens = await person(api, "attacked", "operator")
    cookie = await api.request(
        "POST", "/auth/login", {"username": "attacked", "password": GOOD, "cookie": True}, token=""
    )
    sent = {"Cookie": cookie.headers["Set-Cookie"].partition(";")[0]}
    key = await api.ask("POST", "/keys", {"username": "attacked"})
    await api.request("DELETE", f"/keys/{key['id']}")
    for _ in range(2):
        await api.ask("POST", "/auth/refresh", {"refresh_token": tokens["refresh_token"]}, token="")
    async with api.connection() as connection:
        await connection.execute(
            "UPDATE session SET rotated_at = now() - interval '1 minute' WHERE principal = 'attacked'"
        )
    calls: dict[str, Any] = {
        "me_show": api.request("GET", "/me", token=f"{tokens['access_token'][:-4]}AAAA"),
        "plan_list": api.request("GET", "/plans", token=key["key"]),
        "auth_refresh": api.request("POST", "/auth/refresh", {"refresh_token": tokens["refresh_token"]}, token=""),
        "auth_login": api.request("POST", "/auth/login", {"username": "attacked", "password": OTHER}, token=""),
        "job_create": api.request("POST", "/jobs", {**JOB, "id": "forged"}, token="", headers=sent),
    }
    for operation, call in calls.items():
        before = len(await refusals(api))
        answer: Answer = await call
        assert answer.status in (401, 403), operation
        (entry,) = (await refusals(api))[before:]
        assert (entry["action"], entry["status"]) == (operation, answer.status)
        assert entry["address"] == "127.0.0.1"
        assert tokens["refresh_token"] not in json.dumps(entry)
    details = [one["detail"] for one in await refusals(api)][-3:]
    assert details[:2] == ["refresh token used twice", "wrong password"]
    assert "X-CSRF-Token" in details[2]


async def test_the_command_line_lets_people_in_and_out(api: Gateway, tmp_path: Path) -> None:
    """Accounts, roles and keys made by an administrator; a person logs in, is somebody, and logs out."""
    environment = {"PATH": os.environ["PATH"], "XDG_CONFIG_HOME": str(tmp_path), "SIGNALBOX_API_URL": api.url}

    async def run(*words: str, typed: str = "", token: str = "", code: int = 0) -> str:
        more = {"SIGNALBOX_TOKEN": token} if token else {}
        process = await asyncio.create_subprocess_exec(
            str(COMMAND), *words, env=environment | more, stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate(typed.encode())
        assert process.returncode == code, err.decode()
        return (out or err).decode().strip()

    made = await run("user", "create", "typist", "--email", "typist@example.com", typed=GOOD, token=api.token)
    assert "typist@example.com" in made
    bound = await run("binding", "create", "typist", "viewer", "-o", "name", token=api.token)
    missing = await run("binding", "create", "typist", "viewer", "--project", "atlantis", token=api.token, code=2)
    assert "project" in missing
    await run("login", "--username", "typist", typed=OTHER, code=4)
    await run("login", "--username", "typist", typed=GOOD)
    assert await run("whoami", "-o", "name") == "typist"
    key = json.loads(await run("key", "create", "--scope", "me.read", "--days", "1", "-o", "json"))
    assert json.loads(await run("key", "list", "-o", "json"))[0]["id"] == key["id"]
    assert await run("whoami", "-o", "name", token=key["key"]) == "typist"
    await run("key", "delete", key["id"], "--yes")
    assert "user.read" in await run("user", "list", code=4)
    await run("binding", "delete", bound, "--yes", token=api.token)
    assert "sessions ended: 1" in await run("auth", "logout")
    await run("whoami", code=4)
    await run("user", "delete", "typist", "--yes", token=api.token)
    assert (await api.request("GET", "/users/typist")).status == 404
