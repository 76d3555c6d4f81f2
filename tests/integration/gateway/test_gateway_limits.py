"""Rate limits on two gateways with a real Redis that dies, a listener with TLS, a cap on connections, CORS."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr, ValidationError

from signalbox_gateway.settings import GatewaySettings
from signalbox_local.redis import RedisServer
from support.gateway import Gateway, running_gateway, second_gateway
from support.proofs import proves

GOOD = "four unrelated words here"
CALLS = 100
LOGINS = 6


@pytest.fixture(scope="module")
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis that these tests may kill."""
    server = RedisServer(tmp_path_factory.mktemp("limits") / "redis")
    server.start()
    yield server
    server.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(postgres_url: str, kafka_bootstrap: str, own_redis: RedisServer) -> AsyncGenerator[Gateway]:
    limits: dict[str, Any] = {
        "calls_per_minute": CALLS,
        "address_calls_per_minute": 100_000,
        "logins_per_minute": LOGINS,
    }
    async with running_gateway(
        postgres_url, kafka_bootstrap, redis_url=SecretStr(own_redis.url), cors_origins="https://console.example",
        trusted_proxies="127.0.0.1", **limits,
    ) as made:  # fmt: skip
        yield made


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def allowed_calls(gateway: Gateway, token: str, maximum: int) -> int:
    """How many calls are answered before one is refused."""
    for number in range(maximum):
        answer = await gateway.request("GET", "/me", token=token)
        if answer.status == 429:
            assert answer.problem == (429, "too-many-requests")
            assert 1 <= int(answer.headers["Retry-After"]) <= 60
            return number
    return maximum


async def person_token(api: Gateway, name: str) -> str:
    await api.ask("POST", "/users", {"username": name, "password": GOOD, "email": f"{name}@example.com"})
    return (await login_from(api, name, "192.0.2.200", GOOD)).body["access_token"]


async def login_from(api: Gateway, name: str, address: str, password: str):
    body = {"username": name, "password": password}
    return await api.request("POST", "/auth/login", body, token="", headers={"X-Forwarded-For": address})


async def test_an_attacker_is_stopped_and_cannot_lock_out_the_account_s_owner(api: Gateway) -> None:
    """Wrong passwords from many addresses; the owner comes from an address that logged in before."""
    await api.ask("POST", "/users", {"username": "owner", "password": GOOD, "email": "owner@example.com"})
    assert (await login_from(api, "owner", "192.0.2.1", GOOD)).status == 200
    tries = [await login_from(api, "owner", f"198.51.100.{number}", "wrong " * 3) for number in range(20)]
    assert [one.status for one in tries].count(401) == 2 * LOGINS - 1, "the owner's first login counts"
    assert tries[-1].problem == (429, "too-many-requests")
    one_address = [await login_from(api, f"nobody{number}", "203.0.113.9", "wrong " * 3) for number in range(10)]
    assert [one.status for one in one_address] == [401] * LOGINS + [429] * (10 - LOGINS)
    assert (await login_from(api, "owner", "192.0.2.1", GOOD)).status == 200
    audited = await api.ask("GET", "/audit?actor=user:owner&limit=100")
    assert any(entry["status"] == 429 for entry in audited["items"])


async def test_other_origins_get_cors_answers_only_when_they_are_listed(api: Gateway) -> None:
    wanted = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
    listed = await api.session.options("/api/v1/plans", headers={"Origin": "https://console.example", **wanted})
    assert listed.headers["Access-Control-Allow-Origin"] == "https://console.example"
    assert "Access-Control-Allow-Credentials" not in listed.headers
    other = await api.session.options("/api/v1/plans", headers={"Origin": "https://evil.example", **wanted})
    assert "Access-Control-Allow-Origin" not in other.headers


async def test_a_listener_with_tls_and_a_cap_on_connections(api: Gateway, tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    async with second_gateway(api, tls_certificate=certificate, tls_key=key, max_connections=10) as other:
        context = ssl.create_default_context(cafile=certificate)
        url = other.url.replace("127.0.0.1", "localhost")
        async with aiohttp.ClientSession(url) as session, session.get("/healthz", ssl=context) as answer:
            assert answer.status == 200
        held = [await asyncio.open_connection("127.0.0.1", port_of(other), ssl=insecure()) for _ in range(10)]
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(other), ssl=insecure())
        assert (await reader.readline()).startswith(b"HTTP/1.1 503")
        for _, one in [*held, (reader, writer)]:
            one.close()
        await asyncio.gather(*(one.wait_closed() for _, one in held), writer.wait_closed(), return_exceptions=True)


def port_of(gateway: Gateway) -> int:
    return int(gateway.url.rpartition(":")[2])


def insecure() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def self_signed(folder: Path) -> tuple[str, str]:
    """The files of a certificate for localhost and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )  # fmt: skip
    return str(folder / "cert.pem"), str(folder / "key.pem")


@proves("F27")
async def test_two_gateways_count_an_account_together_and_each_alone_while_redis_is_away(
    api: Gateway, own_redis: RedisServer
) -> None:
    """A limit over both is exact to one block of each. Nobody else is refused. Last: Redis dies."""
    token = await person_token(api, "busy")
    async with second_gateway(api) as other:
        first = await allowed_calls(api, token, CALLS // 2)
        assert first == CALLS // 2
        second = await allowed_calls(other, token, 2 * CALLS)
        assert CALLS // 2 - 4 <= second <= CALLS // 2 + 4
        assert (await api.request("GET", "/me")).status == 200, "another account"

        quiet = await person_token(api, "quiet")
        own_redis.kill()
        assert await allowed_calls(api, quiet, 2 * CALLS) in range(CALLS - 4, CALLS + 5)
        assert await allowed_calls(other, quiet, 2 * CALLS) in range(CALLS - 4, CALLS + 5)
        own_redis.start()
        assert (await api.request("GET", "/me")).status == 200


async def test_half_a_certificate_is_refused_at_start(tmp_path: Path) -> None:
    certificate, _ = self_signed(tmp_path)
    needed: dict[str, Any] = {"kafka_bootstrap": "127.0.0.1:9", "database_url": SecretStr("postgresql://x@127.0.0.1/x")}
    with pytest.raises(ValidationError, match="come together"):
        GatewaySettings(**needed, tls_certificate=certificate)
    with pytest.raises(ValidationError, match="not a file that can be read"):
        GatewaySettings(**needed, tls_certificate=certificate, tls_key=str(tmp_path / "missing.pem"))
