"""Notification configurations: a channel and a subscription in the words of `/notifications/configs`. Pure.

A configuration is a view: its id is that of a subscription, and the channel is the one the subscription names. One that
was created here has a channel with the same id; a Slack or webhook secret it brought is kept in the vault.
"""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from signalbox_contracts.definitions.channel import (
    EVENT_TYPES,
    Channel,
    EmailDestination,
    SlackDestination,
    Subscription,
    WebhookDestination,
    event_type,
)
from signalbox_contracts.definitions.definition import Labels, ShortText, Title
from signalbox_contracts.definitions.problems import Problem
from signalbox_contracts.definitions.trigger import pattern_matches
from signalbox_contracts.vocabulary import Name
from signalbox_gateway.definitions.store import Saved

EventType = Annotated[str, Field(min_length=1, max_length=512)]
Url = Annotated[str, Field(pattern=r"^(https?://[^\s/?#]+\S*|secret://\S+)$", max_length=2048)]


class NotificationConfigWrite(BaseModel):
    """Where to notify, and of what."""

    model_config = ConfigDict(extra="forbid")

    name: Title
    channel: Literal["slack", "webhook", "email"]
    webhook_url: Url | None = None
    """Of Slack and webhooks. Slack's is a secret: the API keeps it and never returns it."""
    recipients: Annotated[list[str], Field(max_length=50)] = Field(default_factory=list)
    """Addresses, of e-mail."""
    signing_key: Annotated[str, Field(pattern=r"^secret://\S+$", max_length=255)] | None = None
    """Signs webhooks as Standard Webhooks."""
    notification_types: Annotated[list[EventType], Field(max_length=50)] = Field(default_factory=list)
    """Event types, such as `workflow_failed` or `workflow.failed`. None means everything but single tasks."""
    enabled: bool = True
    description: ShortText = ""
    project: Name = "default"
    labels: Labels = Field(default_factory=dict)


class NotificationConfig(BaseModel):
    """Where to notify, and of what."""

    id: str
    name: str
    channel: str
    channel_id: str
    subscription_id: str
    webhook_url: str | None
    """Of Slack the reference to the secret that holds it."""
    recipients: list[str]
    signing_key: str | None
    notification_types: list[str]
    enabled: bool
    description: str
    project: str
    labels: dict[str, str]
    revision: int
    created_at: datetime
    updated_at: datetime
    updated_by: str


class NotificationConfigPage(BaseModel):
    """One page of a list."""

    items: list[NotificationConfig]
    next_cursor: str | None


_NEEDS: Final = {"slack": "webhook_url", "webhook": "webhook_url", "email": "recipients"}


def problems(written: NotificationConfigWrite) -> list[Problem]:
    """What does not fit together, by field."""
    found: list[Problem] = []
    needed = _NEEDS[written.channel]
    if not getattr(written, needed):
        found.append(Problem(needed, None, f"is missing: {written.channel} needs it"))
    if written.channel == "webhook" and (written.webhook_url or "").startswith("secret://"):
        found.append(Problem("webhook_url", None, "a webhook's address is no secret: http:// or https:// is needed"))
    if written.channel == "email" and written.webhook_url:
        found.append(Problem("webhook_url", None, "is not allowed: e-mail has recipients"))
    if written.channel != "email" and written.recipients:
        found.append(Problem("recipients", None, f"are not allowed: {written.channel} has a webhook_url"))
    if written.channel != "webhook" and written.signing_key:
        found.append(Problem("signing_key", None, "is not allowed: only webhooks are signed"))
    for number, name in enumerate(written.notification_types):
        if not any(pattern_matches(event_type(name), known) for known in EVENT_TYPES):
            allowed = f"is no event type: allowed are {', '.join(EVENT_TYPES)}"
            found.append(Problem(f"notification_types.{number}", repr(name)[:100], allowed))
    return found


def slack_secret(id: str) -> str:
    """The secret that holds the address of this configuration's Slack webhook."""
    return f"notification-{id}"[:128].rstrip("-._")


def channel_values(id: str, written: NotificationConfigWrite, slack_url: str | None) -> dict[str, Any]:
    """The channel's definition. `slack_url` is the reference to the secret."""
    destinations: dict[str, dict[str, Any]] = {
        "slack": {"kind": "slack", "webhook_url": slack_url},
        "webhook": {"kind": "webhook", "url": written.webhook_url, "signing_key": written.signing_key},
        "email": {"kind": "email", "to": written.recipients},
    }
    return {**_shared(id, written), "destination": destinations[written.channel]}


def subscription_values(id: str, written: NotificationConfigWrite, channel_id: str) -> dict[str, Any]:
    """The subscription's definition."""
    return {
        **_shared(id, written), "channel": channel_id, "enabled": written.enabled,
        "events": [event_type(name) for name in written.notification_types],
    }  # fmt: skip


def config_of(subscription: Saved, channel: Saved | None) -> dict[str, Any]:
    """A configuration as the API returns it."""
    wanted, place = subscription.definition, channel.definition if channel is not None else None
    assert isinstance(wanted, Subscription)
    destination = place.destination if isinstance(place, Channel) else None
    url, recipients, key = None, [], None
    match destination:
        case SlackDestination():
            url = destination.webhook_url
        case WebhookDestination():
            url, key = destination.url, destination.signing_key
        case EmailDestination():
            recipients = list(destination.to)
        case _:
            pass
    return {
        "id": wanted.id, "name": wanted.name, "channel": destination.kind if destination else "", "webhook_url": url,
        "recipients": recipients, "signing_key": key, "notification_types": list(wanted.events),
        "enabled": wanted.enabled and (not isinstance(place, Channel) or place.enabled),
        "channel_id": wanted.channel, "subscription_id": wanted.id, "description": wanted.description,
        "project": wanted.project, "labels": dict(wanted.labels), "revision": subscription.revision,
        "created_at": subscription.created_at, "updated_at": subscription.updated_at,
        "updated_by": subscription.updated_by,
    }  # fmt: skip


def _shared(id: str, written: NotificationConfigWrite) -> dict[str, Any]:
    return {
        "id": id, "name": written.name, "description": written.description, "project": written.project,
        "labels": written.labels,
    }  # fmt: skip
