"""Slack: an incoming webhook, or a bot token that posts to a channel and edits its messages."""

import asyncio
from typing import Any, cast

import aiohttp
from pydantic_core import from_json, to_json

from signalbox_chassis.security.egress import AddressRefused
from signalbox_contracts.definitions.channel import SlackDestination
from signalbox_contracts.notifications import slack_payload
from signalbox_notifier.retries import Failed, Gone, Result, Sent
from signalbox_notifier.senders.outgoing import Outgoing, SecretUnavailable, Senders, failure, read_answer, retry_after

_NEVER = frozenset(
    {
        "invalid_auth", "account_inactive", "token_revoked", "token_expired", "not_authed", "no_permission",
        "channel_not_found", "is_archived", "not_in_channel", "missing_scope", "invalid_blocks", "org_login_required",
    }
)  # fmt: skip
"""Errors of the Web API that the same call will always get."""
MAX_ANSWER = 65_536


async def send(senders: Senders, destination: SlackDestination, outgoing: Outgoing) -> Result:
    """Try once. 429 is tried again when Slack says."""
    try:
        async with asyncio.timeout(senders.settings.send_timeout_seconds):
            if destination.webhook_url is not None:
                return await _post_webhook(senders, await senders.secret(destination.webhook_url), outgoing)
            assert destination.token is not None
            token = await senders.secret(destination.token)
            return await _call(senders, token, destination.channel or "", outgoing)
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError, AddressRefused, SecretUnavailable) as error:
        return failure(error)


async def _post_webhook(senders: Senders, url: str, outgoing: Outgoing) -> Result:
    body = to_json(slack_payload(outgoing.message))
    headers = {"Content-Type": "application/json"}
    async with senders.http.post(url, data=body, headers=headers, allow_redirects=False) as response:
        answer = await read_answer(response)
        if response.status == 200:
            return Sent(answer)
        if response.status in (403, 404, 410):  # Slack's own words: the webhook or its channel is gone
            return Gone(answer, disable=response.status == 410)
        return Failed(answer, retry_after(response))


async def _call(senders: Senders, token: str, channel: str, outgoing: Outgoing) -> Result:
    payload: dict[str, Any] = {"channel": channel, **slack_payload(outgoing.message)}
    method = "chat.postMessage"
    if outgoing.edits:
        channel_id, _, timestamp = outgoing.edits.partition(":")
        payload |= {"channel": channel_id, "ts": timestamp}
        method = "chat.update"
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json; charset=utf-8"}
    url = f"{senders.settings.slack_api_url.rstrip('/')}/{method}"
    async with senders.http.post(url, data=to_json(payload), headers=headers, allow_redirects=False) as response:
        if response.status != 200:
            return Failed(await read_answer(response), retry_after(response))
        body: object = from_json(await response.content.read(MAX_ANSWER))
    answer = cast("dict[str, Any]", body) if isinstance(body, dict) else {}
    if answer.get("ok") is True:
        return Sent("ok", f"{answer.get('channel', '')}:{answer.get('ts', '')}"[:255])
    error = str(answer.get("error", "no answer"))[:200]
    if outgoing.edits and error in ("message_not_found", "cant_update_message", "edit_window_closed"):
        return await _call(senders, token, channel, Outgoing(outgoing.id, outgoing.message, outgoing.traceparent))
    return Gone(error) if error in _NEVER else Failed(error)
