"""E-mail through the configured SMTP server, as text and HTML."""

import asyncio
from collections.abc import Mapping
from email.message import EmailMessage
from email.utils import format_datetime

import aiosmtplib

from signalbox_contracts.definitions.channel import EmailDestination
from signalbox_contracts.notifications import email
from signalbox_notifier.retries import Failed, Gone, Result, Sent
from signalbox_notifier.senders.outgoing import Outgoing, Senders, failure

_LASTING = 500


async def send(senders: Senders, destination: EmailDestination, outgoing: Outgoing) -> Result:
    """Try once. The message id is the delivery's, so that a repeated mail can be told apart."""
    settings = senders.settings
    if not settings.smtp_host:
        return Gone("no SMTP server is configured (SIGNALBOX_SMTP_HOST)")
    rendered = email(outgoing.message)
    mail = EmailMessage()
    mail["Subject"] = rendered.subject
    mail["From"] = settings.smtp_from
    mail["To"] = ", ".join(destination.to)
    mail["Date"] = format_datetime(outgoing.message.at)
    mail["Message-ID"] = f"<{outgoing.id}@signalbox>"
    if outgoing.message.incident_id:
        mail["References"] = f"<incident-{outgoing.message.incident_id}@signalbox>"
    mail.set_content(rendered.text)
    mail.add_alternative(rendered.html, subtype="html")
    try:
        # of the whole conversation: a server that is slow at each step must not outlast the delivery's lease
        async with asyncio.timeout(settings.send_timeout_seconds):
            refused, answer = await aiosmtplib.send(
                mail, hostname=settings.smtp_host, port=settings.smtp_port, use_tls=settings.smtp_security == "tls",
                start_tls=settings.smtp_security == "starttls", username=settings.smtp_username or None,
                password=settings.smtp_password.get_secret_value() or None, timeout=settings.send_timeout_seconds,
            )  # fmt: skip
    except aiosmtplib.SMTPResponseException as error:
        reason = f"{error.code} {error.message}"[:500]
        return Gone(reason) if error.code >= _LASTING else Failed(reason)
    except aiosmtplib.SMTPRecipientsRefused as error:
        everybody = {one.recipient: (one.code, one.message) for one in error.recipients}
        lasting = all(code >= _LASTING for code, _ in everybody.values())
        return Gone(_refusals(everybody)) if lasting else Failed(_refusals(everybody))
    except (aiosmtplib.SMTPException, OSError, ValueError) as error:
        return failure(error)
    return Sent(f"{answer[:500]}; {_refusals(refused)}" if refused else answer[:500])


def _refusals(refused: Mapping[str, tuple[int, str]]) -> str:
    """The recipients that the server did not take, each with its answer."""
    given = ", ".join(f"{name} ({code} {answer})" for name, (code, answer) in refused.items())
    return f"not sent to {given}"[:1000]
