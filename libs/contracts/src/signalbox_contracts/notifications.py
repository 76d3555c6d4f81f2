"""Messages as each kind of channel takes them, within its limits, and in the words of its templates. Pure."""

import html
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel, Field, JsonValue

from signalbox_contracts.definitions.channel import (
    MESSAGE_NAMES,
    Channel,
    EmailDestination,
    MessageTemplates,
    SlackDestination,
    WebhookDestination,
)
from signalbox_contracts.definitions.template import InvalidTemplate, render

MAX_TITLE: Final = 200
MAX_TEXT: Final = 16_384
MAX_SLACK_TEXT: Final = 2900
"""A section's text has at most 3,000 characters."""
NOTIFICATION: Final = "system.notification"
"""The live feed's event for a message to a channel of kind `websocket`."""
DIGEST: Final = "digest"
"""The type of a message that stands for several."""
MAX_DIGEST_LINES: Final = 50
_SEVERITIES: Final = {"info": 0, "warning": 1, "error": 2, "critical": 3}
_ICONS: Final = {"info": "ℹ️", "warning": "⚠️", "error": "🔴", "critical": "🚨", "recovered": "✅"}


class Message(BaseModel, frozen=True):
    """What is to be told, before it takes the form of a channel."""

    type: str
    severity: str
    title: str
    text: str = ""
    at: datetime
    plan_id: str | None = None
    plan_name: str = ""
    target: str | None = None
    project: str = "default"
    labels: dict[str, str] = Field(default_factory=dict)
    event_date: str | None = None
    incident_id: str | None = None
    occurrences: int = 1
    link: str = ""
    details: dict[str, JsonValue] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Email:
    """A message as mail."""

    subject: str
    text: str
    html: str
    headers: dict[str, str] = field(default_factory=dict[str, str])


def with_templates(message: Message, templates: MessageTemplates) -> tuple[Message, str]:
    """The message in a channel's own words, and what is wrong with a template that gave none: empty for nothing."""
    values = message.model_dump(mode="json")
    words: dict[str, str] = {}
    problems: list[str] = []
    for field_name, template, size in (
        ("title", templates.title, MAX_TITLE), ("text", templates.text, MAX_TEXT),
    ):  # fmt: skip
        if template is None:
            continue
        try:
            words[field_name] = render(template, values, MESSAGE_NAMES)[:size]
        except InvalidTemplate as error:
            problems.append(f"templates.{field_name} {error}")
    return message.model_copy(update=words), "; ".join(problems)


def payload_for(channel: Channel, message: Message) -> dict[str, Any]:
    """What a channel of this kind would be sent, as JSON."""
    match channel.destination:
        case SlackDestination():
            return slack_payload(message)
        case WebhookDestination():
            return webhook_payload(message, None)
        case EmailDestination():
            rendered = email(message)
            return {"subject": rendered.subject, "text": rendered.text, "html": rendered.html}
        case _:
            return {"type": NOTIFICATION, "message": message.title, "data": message.model_dump(mode="json")}


def digest_message(messages: Sequence[Message]) -> Message:
    """Several messages as one: how many of each type, and a line each for the first of them."""
    counts = Counter(one.type for one in messages)
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
    lines = [f"{one.at:%H:%M:%S} {one.title}" for one in messages[:MAX_DIGEST_LINES]]
    if len(messages) > MAX_DIGEST_LINES:
        lines.append(f"and {len(messages) - MAX_DIGEST_LINES} more")
    worst = max((one.severity for one in messages), key=lambda name: _SEVERITIES.get(name, 0))
    projects = {one.project for one in messages}
    return Message(
        type=DIGEST, severity=worst, title=f"{len(messages)} events: {kinds}"[:MAX_TITLE], text="\n".join(lines),
        at=messages[-1].at, occurrences=len(messages), project=projects.pop() if len(projects) == 1 else "default",
        details={"events": dict(counts)},
    )  # fmt: skip


def sample_message(event_type: str, at: datetime) -> Message:
    """A message of this type as previews show it."""
    is_failure = event_type.endswith((".failed", ".missed", ".message_parked", ".notifications_late"))
    task: dict[str, JsonValue] = {
        "task_id": str(UUID(int=2)),
        "item": "2026-03-01",
        "engine": "oozie-prod",
        "attempt": 2,
        "exit_code": 1,
    }
    return Message(
        type=event_type, severity="error" if is_failure else "info", title=f"job:nightly: {event_type}",
        text="exit code 1: <input> & output differ" if is_failure else "", at=at, plan_id=str(UUID(int=1)),
        plan_name="Nightly", target="job:nightly", labels={"team": "data"}, event_date="2026-03-01",
        incident_id=str(UUID(int=3)) if is_failure else None, occurrences=7 if is_failure else 1,
        link=f"https://signalbox.example/plans/{UUID(int=1)}",
        details=task if event_type.startswith("task.") else {"state": "FAILED" if is_failure else "SUCCEEDED"},
    )  # fmt: skip


def webhook_payload(message: Message, traceparent: str | None) -> dict[str, Any]:
    """The JSON body of a webhook: type, timestamp, data, as Standard Webhooks recommends."""
    data = message.model_dump(mode="json", exclude={"type", "at"})
    return {
        "type": message.type, "timestamp": message.at.isoformat(),
        "data": {**data, "traceparent": traceparent} if traceparent else data,
    }  # fmt: skip


def slack_payload(message: Message) -> dict[str, Any]:
    """Block Kit: a header, the text, the facts. Markup of the text is escaped."""
    icon = _ICONS.get(message.severity, "")
    title = _slack_text(message.title, 140)
    count = f" (×{message.occurrences})" if message.occurrences > 1 else ""
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": f"{icon} {message.title}{count}"[:150]}}
    ]
    if message.text:
        quoted = _slack_text(message.text, MAX_SLACK_TEXT)
        blocks.append({"type": "section", "text": {"type": "mrkdwn", "text": quoted}})
    facts = [f"*{name}* {_slack_text(value, 200)}" for name, value in _facts(message)]
    if message.link:
        facts.append(f"<{message.link}|open>")
    blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": fact} for fact in facts[:10]]})
    return {"text": f"{icon} {title}{count}", "blocks": blocks}


def email(message: Message) -> Email:
    """Text and HTML. Whatever the message holds, it is shown as text."""
    count = f" (x{message.occurrences})" if message.occurrences > 1 else ""
    # every character that breaks a line, such as U+2028: a header with one is refused
    subject = " ".join(f"[{message.severity}] {message.title}{count}".splitlines())[:200]
    facts = _facts(message)
    lines = [message.title + count, "", *([message.text, ""] if message.text else [])]
    lines += [f"{name}: {value}" for name, value in facts]
    rows = "".join(f"<tr><td>{html.escape(name)}</td><td>{html.escape(value)}</td></tr>" for name, value in facts)
    link = f'<p><a href="{html.escape(message.link)}">open</a></p>' if message.link else ""
    head = f"<h2>{html.escape(message.title + count)}</h2><pre>{html.escape(message.text)}</pre>"
    body = f"{head}<table>{rows}</table>{link}"
    if message.link:
        lines.append(message.link)
    return Email(subject, "\n".join(lines), f"<html><body>{body}</body></html>")


def _facts(message: Message) -> list[tuple[str, str]]:
    facts = [
        ("event", message.type), ("runs", message.target or ""), ("project", message.project),
        ("event date", message.event_date or ""), ("plan", message.plan_id or ""),
        ("item", str(message.details.get("item") or "")), ("engine", str(message.details.get("engine") or "")),
        ("at", message.at.isoformat(timespec="seconds")),
    ]  # fmt: skip
    return [(name, value) for name, value in facts if value]


def _slack_text(text: str, size: int) -> str:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return escaped if len(escaped) <= size else escaped[: size - 1] + "…"
