"""Channels and subscriptions: where to notify, and of what."""

from typing import Annotated, Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from signalbox_contracts.definitions import cron
from signalbox_contracts.definitions.definition import Definition, Labels, ShortText
from signalbox_contracts.definitions.engine import HttpUrl
from signalbox_contracts.definitions.secrets import SecretRef
from signalbox_contracts.definitions.template import InvalidTemplate, check_template
from signalbox_contracts.definitions.trigger import Pattern
from signalbox_contracts.vocabulary import Name, PerMinute, PlanId, Seconds, Value

EVENT_TYPES: Final = (
    "workflow.triggered", "workflow.started", "workflow.completed", "workflow.failed", "workflow.stopped",
    "workflow.retried", "task.started", "task.completed", "task.failed", "deadline.missed", "system.message_parked",
    "system.notifications_late",
)  # fmt: skip
"""What a subscription can be about. `workflow_failed` means `workflow.failed`."""
MESSAGE_NAMES: Final = frozenset(
    {
        "type", "severity", "title", "text", "at", "plan_id", "plan_name", "target", "project", "labels", "event_date",
        "incident_id", "occurrences", "link", "details",
    }
)  # fmt: skip
"""What the template of a message may use."""
Severity = Literal["info", "warning", "error", "critical"]
Address = Annotated[str, Field(pattern=r"^[^@\s,<>]{1,64}@[^@\s,<>]{1,255}$")]


class SlackDestination(Value):
    """Slack: an incoming webhook, or a token and a channel (which can edit its messages)."""

    kind: Literal["slack"] = "slack"
    webhook_url: SecretRef | None = None
    token: SecretRef | None = None
    channel: ShortText | None = None

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        if bool(self.webhook_url) == bool(self.token):
            raise ValueError("webhook_url and token: exactly one of them is needed")
        if self.token and not self.channel:
            raise ValueError("channel is missing: a token needs the channel to post to")
        return self


class WebhookDestination(Value):
    """An HTTP endpoint; signed as Standard Webhooks when there is a key."""

    kind: Literal["webhook"] = "webhook"
    url: HttpUrl
    signing_key: SecretRef | None = None
    headers: dict[Name, ShortText] = Field(default_factory=dict)


class EmailDestination(Value):
    """Mail through the configured SMTP server."""

    kind: Literal["email"] = "email"
    to: Annotated[tuple[Address, ...], Field(min_length=1, max_length=50)]


class LiveDestination(Value):
    """The live feed of one user, or of everybody who may see it."""

    kind: Literal["websocket"] = "websocket"
    user: Name | None = None


Destination = Annotated[
    SlackDestination | WebhookDestination | EmailDestination | LiveDestination, Field(discriminator="kind")
]


class MessageTemplates(Value):
    """Title and text of every message to a channel, in the place of the usual ones: Jinja expressions in `{{ … }}`."""

    title: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    text: Annotated[str, Field(min_length=1, max_length=16_384)] | None = None

    @field_validator("title", "text")
    @classmethod
    def _can_be_rendered(cls, template: str | None) -> str | None:
        if template is not None:
            try:
                check_template(template, names=MESSAGE_NAMES)
            except InvalidTemplate as error:
                raise ValueError(str(error)) from None
        return template


class Channel(Definition):
    """A place to notify, and the one to use instead when it fails."""

    kind: Literal["channel"] = "channel"
    destination: Destination
    fallback: Name | None = None
    templates: MessageTemplates = MessageTemplates()
    enabled: bool = True
    messages_per_minute: Annotated[PerMinute, Field(le=10_000)] = 60

    @model_validator(mode="after")
    def _falls_back_elsewhere(self) -> Self:
        if self.fallback == self.id:
            raise ValueError(f"fallback {self.fallback!r} is the channel itself: another one is needed")
        return self


class Deadline(Value):
    """Tell when a plan has not started or ended in time. Times are of day (`HH:MM`), in `zone`."""

    start_by: Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] | None = None
    end_by: Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] | None = None
    longer_than_seconds: Seconds | None = None
    zone: ShortText = "UTC"

    @field_validator("zone")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        return cron.zone(name).key


class Subscription(Definition):
    """Which events go to which channel. An empty list of patterns means all."""

    kind: Literal["subscription"] = "subscription"
    channel: Name
    events: Annotated[tuple[Pattern, ...], Field(max_length=50)] = ()
    match_labels: Labels = Field(default_factory=dict)
    at_least: Severity = "info"
    plans: Annotated[tuple[PlanId, ...], Field(max_length=200)] = ()
    targets: Annotated[tuple[Name, ...], Field(max_length=200)] = ()
    """Jobs, pipelines and schedules."""
    digest_seconds: Annotated[Seconds, Field(le=86_400)] = 0
    deadline: Deadline | None = None
    enabled: bool = True


def event_type(name: str) -> str:
    """The type a name means: `workflow_failed` is `workflow.failed`."""
    head, separator, tail = name.partition("_")
    return f"{head}.{tail}" if separator and head in ("workflow", "task") else name
