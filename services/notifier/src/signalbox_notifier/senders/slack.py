"""Slack: an incoming webhook, or a bot token that posts to a channel and edits its messages."""

import asyncio
from dataclasses import replace
from typing import Any, cast

import aiohttp
from pydantic_core import from_json, to_json

from signalbox_chassis.security.egress import AddressRefused
from signalbox_contracts.definitions.channel import SlackDestination
from signalbox_contracts.notifications import slack_payload
from signalbox_notifier.retries import Failed, Gone, Result, Sent
from signalbox_notifier.senders.outgoing import (
    Outgoing,
    SecretUnavailable,
    Senders,
    failure,
    read_answer,
    read_bounded,
    retry_after,
)

_NEVER = frozenset(
    {
        "invalid_auth", "account_inactive", "token_revoked", "token_expired", "not_authed", "no_permission",
        "channel_not_found", "is_archived", "not_in_channel", "missing_scope", "invalid_blocks", "org_login_required",
    }
)  # fmt: skip
"""Errors of the Web API that the same call will always get."""
_FORGOTTEN = frozenset({"message_not_found", "cant_update_message", "edit_window_closed", "thread_not_found"})
"""Errors of an edit whose message is gone: the message is posted again as a new one."""
MAX_ANSWER = 65_536
TOO_MANY = 429


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
        return Failed(answer, retry_after(response), response.status == TOO_MANY)


async def _call(senders: Senders, token: str, channel: str, outgoing: Outgoing) -> Result:
    """Post a message, or edit the one about the same incident. A recovery is also a reply in the incident's thread.

    To edit is not to notify: people who follow the thread are told by the reply. A repeated try edits once more first.
    """
    payload = slack_payload(outgoing.message)
    metadata = {"event_type": "signalbox_delivery", "event_payload": {"id": str(outgoing.id)}}
    if not outgoing.edits:
        return await _method(senders, token, "chat.postMessage", {"channel": channel, **payload, "metadata": metadata})
    channel_id, _, timestamp = outgoing.edits.partition(":")
    edited = await _method(
        senders, token, "chat.update", {"channel": channel_id, "ts": timestamp, **payload, "metadata": metadata}
    )
    if isinstance(edited, Gone) and edited.answer in _FORGOTTEN:
        return await _call(senders, token, channel, replace(outgoing, edits=""))
    if not isinstance(edited, Sent) or outgoing.message.severity != "recovered":
        return edited
    reply = {"channel": channel_id, "thread_ts": timestamp, "text": payload["text"], "metadata": metadata}
    replied = await _method(senders, token, "chat.postMessage", reply)
    return edited if isinstance(replied, Sent) else replied


async def _method(senders: Senders, token: str, method: str, payload: dict[str, Any]) -> Result:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json; charset=utf-8"}
    url = f"{senders.settings.slack_api_url.rstrip('/')}/{method}"
    async with senders.http.post(url, data=to_json(payload), headers=headers, allow_redirects=False) as response:
        if response.status != 200:
            return Failed(await read_answer(response), retry_after(response), response.status == TOO_MANY)
        body: object = from_json(await read_bounded(response, MAX_ANSWER))
        wait = retry_after(response)
    answer = cast("dict[str, Any]", body) if isinstance(body, dict) else {}
    if answer.get("ok") is True:
        return Sent("ok", f"{answer.get('channel', '')}:{answer.get('ts', '')}"[:255])
    error = str(answer.get("error", "no answer"))[:200]
    if error in ("ratelimited", "rate_limited"):
        return Failed(error, wait, throttled=True)
    return Gone(error) if error in _NEVER | _FORGOTTEN else Failed(error)
