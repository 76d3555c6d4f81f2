"""Webhooks as Standard Webhooks 1.0: signed, with the same id at every try; redirects are not followed."""

import asyncio
from datetime import UTC, datetime

import aiohttp
from pydantic_core import to_json
from standardwebhooks.webhooks import Webhook

from signalbox_chassis.security.egress import AddressRefused
from signalbox_contracts.definitions.channel import WebhookDestination
from signalbox_contracts.notifications import webhook_payload
from signalbox_notifier.retries import Failed, Gone, Result, Sent
from signalbox_notifier.senders.outgoing import (
    USER_AGENT,
    Outgoing,
    SecretUnavailable,
    Senders,
    failure,
    read_answer,
    retry_after,
)

_GONE = 410
_TOO_MANY = 429


async def send(senders: Senders, destination: WebhookDestination, outgoing: Outgoing) -> Result:
    """Try once. 2xx is success, 410 disables the channel, everything else is tried again."""
    body = to_json(webhook_payload(outgoing.message, outgoing.traceparent)).decode()
    now = datetime.now(UTC)
    headers = {
        **destination.headers, "Content-Type": "application/json", "User-Agent": USER_AGENT,
        "webhook-id": str(outgoing.id), "webhook-timestamp": str(int(now.timestamp())),
    }  # fmt: skip
    if outgoing.traceparent:
        headers["traceparent"] = outgoing.traceparent
    try:
        if destination.signing_key is not None:
            keys = (await senders.secret(destination.signing_key)).split()
            headers["webhook-signature"] = " ".join(_sign(key, str(outgoing.id), now, body) for key in keys[:2])
        async with asyncio.timeout(senders.settings.send_timeout_seconds):
            async with senders.http.post(
                destination.url, data=body.encode(), headers=headers, allow_redirects=False
            ) as response:
                answer = await read_answer(response)
                wait = retry_after(response)
                status = response.status
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError, AddressRefused, SecretUnavailable) as error:
        return failure(error)
    if 200 <= status < 300:
        return Sent(answer)
    if status == _GONE:
        return Gone(answer, disable=True)
    if 300 <= status < 400:
        return Failed(f"{answer} (a redirect is not followed)"[:1000])
    return Failed(answer, wait, status == _TOO_MANY)


def _sign(key: str, id: str, at: datetime, body: str) -> str:
    """The signature by one key. A key may stand with its prefix `whsec_`; two keys sign while one is replaced."""
    try:
        return Webhook(key).sign(id, at, body)
    except Exception as error:  # binascii.Error, ValueError: what a person stored as a key
        raise SecretUnavailable(f"the signing key is not one of Standard Webhooks: {type(error).__name__}") from None
