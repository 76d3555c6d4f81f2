"""How each kind of channel is reached. A sender never raises for what a receiver does: it returns a result."""

from signalbox_contracts.definitions.channel import Destination, EmailDestination, SlackDestination, WebhookDestination
from signalbox_notifier.retries import Result, Sent
from signalbox_notifier.senders import email, slack, webhook
from signalbox_notifier.senders.outgoing import Outgoing, Senders

__all__ = ["Outgoing", "Senders", "send"]


async def send(senders: Senders, destination: Destination, outgoing: Outgoing) -> Result:
    """Try once to deliver a message."""
    match destination:
        case WebhookDestination():
            return await webhook.send(senders, destination, outgoing)
        case SlackDestination():
            return await slack.send(senders, destination, outgoing)
        case EmailDestination():
            return await email.send(senders, destination, outgoing)
        case _:
            return Sent("on the live feed")
