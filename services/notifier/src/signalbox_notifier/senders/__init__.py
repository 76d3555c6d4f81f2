"""How each kind of channel is reached. A sender never raises for what a receiver does: it returns a result."""

import logging
from dataclasses import replace

from signalbox_chassis.runtime.isolation import describe_fault, storable
from signalbox_contracts.definitions.channel import Destination, EmailDestination, SlackDestination, WebhookDestination
from signalbox_notifier.retries import Failed, Result, Sent
from signalbox_notifier.senders import email, slack, webhook
from signalbox_notifier.senders.outgoing import Outgoing, Senders

__all__ = ["Outgoing", "Senders", "send"]
log = logging.getLogger(__name__)


async def send(senders: Senders, destination: Destination, outgoing: Outgoing) -> Result:
    """Try once to deliver a message. What a sender does not expect is a failed try, and every answer can be stored.

    Else the try would never be recorded: the delivery would be sent again after each lease, for ever.
    """
    try:
        result = await _send(senders, destination, outgoing)
    except Exception as error:
        log.exception("delivery %s: an unexpected fault", outgoing.id)
        return Failed(describe_fault(error))
    if isinstance(result, Sent):
        return replace(result, answer=storable(result.answer), message_ref=storable(result.message_ref))
    return replace(result, answer=storable(result.answer))


async def _send(senders: Senders, destination: Destination, outgoing: Outgoing) -> Result:
    match destination:
        case WebhookDestination():
            return await webhook.send(senders, destination, outgoing)
        case SlackDestination():
            return await slack.send(senders, destination, outgoing)
        case EmailDestination():
            return await email.send(senders, destination, outgoing)
        case _:
            return Sent("on the live feed")
