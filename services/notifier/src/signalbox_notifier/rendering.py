"""Messages as each kind of channel takes them, within its limits. Pure."""

import html
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel, Field, JsonValue

MAX_SLACK_TEXT: Final = 2900
"""A section's text has at most 3,000 characters."""
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
    subject = f"[{message.severity}] {message.title}{count}".replace("\r", " ").replace("\n", " ")[:200]
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
