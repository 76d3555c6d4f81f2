"""One try to real servers that behave as receivers do: mail with and without TLS and a login, endless answers."""

import asyncio
import ipaddress
import ssl
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from signalbox_contracts.definitions.channel import EmailDestination, WebhookDestination
from signalbox_contracts.notifications import sample_message
from signalbox_local.ports import free_ports
from signalbox_notifier.loops import guarded_session
from signalbox_notifier.retries import Failed, Gone, Result, Sent
from signalbox_notifier.senders import Outgoing, Senders, send
from signalbox_notifier.settings import NotifierSettings
from support.notifier import receiver, status

NOW = datetime(2026, 3, 1, tzinfo=UTC)
OUTGOING = Outgoing(UUID(int=7), sample_message("workflow.failed", NOW))


def settings(**changes: Any) -> NotifierSettings:
    values: dict[str, Any] = {
        "kafka_bootstrap": "127.0.0.1:9",
        "database_url": SecretStr("postgresql://x@127.0.0.1/x"),
        "egress_allow": "127.0.0.1",
        **changes,
    }
    return NotifierSettings(**values)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1, which is its own authority, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    (tmp_path / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )  # fmt: skip
    return tmp_path / "cert.pem", tmp_path / "key.pem"


@contextmanager
def mail_server(security: str, certificate: tuple[Path, Path], *, login: bool) -> Generator[tuple[int, list[Any]]]:
    """A real SMTP server: its port, and the mails it got."""
    mails: list[Any] = []

    class Mailbox:
        async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
            mails.append(envelope)
            return "250 kept"

    def check(_server: Any, _session: Any, _envelope: Any, _mechanism: str, given: Any) -> AuthResult:
        return AuthResult(success=(given.login, given.password) == (b"signalbox", b"correct horse"), handled=False)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*map(str, certificate))
    (port,) = free_ports(1)
    more: dict[str, Any] = {"ssl_context": context} if security == "tls" else {}
    if security == "starttls":
        more |= {"tls_context": context, "require_starttls": True}
    if login:
        more |= {"authenticator": check, "auth_required": True, "auth_require_tls": security == "starttls"}
    controller = Controller(Mailbox(), hostname="127.0.0.1", port=port, **more)
    controller.start()
    try:
        yield port, mails
    finally:
        controller.stop()


async def mail(port: int, security: str, password: str = "") -> Result:
    given = {"smtp_username": "signalbox", "smtp_password": SecretStr(password)} if password else {}
    made = settings(smtp_host="127.0.0.1", smtp_port=port, smtp_security=security, smtp_from="box@example.org", **given)
    senders = Senders(guarded_session(made), None, made)
    try:
        return await send(senders, EmailDestination(to=("ann@example.org", "ben@example.org")), OUTGOING)
    finally:
        await senders.http.close()


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")  # its TLS is there from the start
@pytest.mark.parametrize("security", ["none", "starttls", "tls"])
async def test_mail_arrives_with_every_kind_of_protection_and_a_wrong_password_is_final(
    security: str, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's certificate is checked: without its authority nothing is sent."""
    with mail_server(security, certificate, login=security != "none") as (port, mails):
        if security != "none":
            unknown = await mail(port, security, "correct horse")
            assert isinstance(unknown, Failed)
            assert "CERTIFICATE_VERIFY_FAILED" in unknown.answer or "ertificate" in unknown.answer, unknown
            monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
            wrong = await mail(port, security, "wrong")
            assert isinstance(wrong, Gone), wrong
            assert wrong.answer.startswith("535")
            assert isinstance(await mail(port, security), Gone), "the server wants a login"
        assert mails == []
        sent = await mail(port, security, "" if security == "none" else "correct horse")
        assert isinstance(sent, Sent), sent
    (envelope,) = mails
    assert envelope.rcpt_tos == ["ann@example.org", "ben@example.org"]
    text = envelope.content.decode()
    assert "Message-ID: <00000000-0000-0000-0000-000000000007@signalbox>" in text
    assert "text/plain" in text
    assert "text/html" in text


@contextmanager
def choosy_mail_server(*known: str) -> Generator[tuple[int, list[Any]]]:
    """A real SMTP server that knows these recipients alone: its port, and the mails it got."""
    mails: list[Any] = []

    class Mailbox:
        async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
            if address not in known:
                return "550 no such user"
            envelope.rcpt_tos.append(address)
            return "250 OK"

        async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
            mails.append(envelope)
            return "250 kept"

    (port,) = free_ports(1)
    controller = Controller(Mailbox(), hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield port, mails
    finally:
        controller.stop()


async def test_recipients_that_a_mail_server_does_not_know_are_named() -> None:
    """Without it a person on a list never gets a mail, and nobody can see it. All unknown: no further try."""
    with choosy_mail_server("ann@example.org") as (port, mails):
        sent = await mail(port, "none")
    assert isinstance(sent, Sent)
    assert sent.answer.endswith("not sent to ben@example.org (550 no such user)")
    assert len(mails) == 1
    with choosy_mail_server() as (port, mails):
        refused = await mail(port, "none")
    assert isinstance(refused, Gone)
    assert refused.answer.startswith("not sent to ann@example.org (550 no such user)")


async def test_a_mail_server_that_is_slow_at_each_step_has_the_time_of_one_try() -> None:
    """Else the try outlasts the delivery's lease, and another notifier sends the same mail meanwhile."""
    released = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer = b"220 slow\r\n"
        while not released.is_set():
            await asyncio.sleep(0.6)
            writer.write(answer)
            if not await reader.readline():
                break
            answer = b"250 OK\r\n"
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    made = settings(
        smtp_host="127.0.0.1", smtp_port=server.sockets[0].getsockname()[1], smtp_security="none",
        send_timeout_seconds=1.0,
    )  # fmt: skip
    senders = Senders(guarded_session(made), None, made)
    began = time.monotonic()
    result = await send(senders, EmailDestination(to=("ann@example.org",)), OUTGOING)
    await senders.http.close()
    released.set()
    server.close()
    assert result == Failed("no answer in time")
    assert time.monotonic() - began < 2.5


@pytest.mark.parametrize("title", ["one\u2028two", "one\x0btwo", "one\r\ntwo", "one\x85two"])
async def test_a_title_with_any_character_that_breaks_a_line_is_mailed(title: str) -> None:
    with choosy_mail_server("ann@example.org", "ben@example.org") as (port, mails):
        made = settings(smtp_host="127.0.0.1", smtp_port=port, smtp_security="none")
        senders = Senders(guarded_session(made), None, made)
        outgoing = replace(OUTGOING, message=OUTGOING.message.model_copy(update={"title": title}))
        result = await send(senders, EmailDestination(to=("ann@example.org",)), outgoing)
        await senders.http.close()
    assert isinstance(result, Sent), result
    assert "Subject: [error] one two" in mails[0].content.decode()


async def test_an_answer_that_makes_no_sense_is_a_result_that_can_be_stored() -> None:
    """Else the try is never recorded, and the receiver gets the same message after each lease, for ever."""
    binary = web.Response(body=b"\0\x01\xff\0", content_type="application/octet-stream")
    absurd = status(503, **{"Retry-After": "Mon, 01 Jan 2026 00:00:00 +99999999999999"})
    made = settings()
    senders = Senders(guarded_session(made), None, made)
    async with receiver(lambda _: binary, absurd) as hook:
        kept = await send(senders, WebhookDestination(url=hook.url), OUTGOING)
        failed = await send(senders, WebhookDestination(url=hook.url), OUTGOING)
        await senders.http.close()
    assert isinstance(kept, Sent)
    assert "\0" not in kept.answer
    assert failed == Failed("HTTP 503: answer 503")


async def test_a_receiver_costs_bounded_time_and_memory_whatever_it_answers() -> None:
    """It hangs after its headers, sends a body without end, asks for a pause in seconds or until a date."""

    async def hang(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await asyncio.sleep(60)
        return response

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65_536)

    later = datetime.now(UTC) + timedelta(seconds=90)
    date = later.strftime("%a, %d %b %Y %H:%M:%S GMT")
    answers = [hang, endless, status(429, **{"Retry-After": "30"}), status(429, **{"Retry-After": date}), status(410)]
    made = settings(send_timeout_seconds=1.0)
    senders = Senders(guarded_session(made), None, made)
    began = time.monotonic()
    async with receiver(*answers) as hook:
        results = [await send(senders, WebhookDestination(url=hook.url), OUTGOING) for _ in answers]
        await senders.http.close()
    assert time.monotonic() - began < 10
    hung, cut, pause, until_date, gone = results
    assert hung == Failed("no answer in time")
    assert isinstance(cut, Sent)
    assert len(cut.answer) < 600
    assert isinstance(pause, Failed)
    assert (pause.retry_after_seconds, pause.throttled) == (30.0, True)
    assert isinstance(until_date, Failed)
    assert 80 < (until_date.retry_after_seconds or 0) <= 90
    assert gone == Gone("HTTP 410: answer 410", disable=True)
