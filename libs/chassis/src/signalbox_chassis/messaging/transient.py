"""Which failures are transient. The list is explicit: a handler's own `OSError` must not be retried for ever."""

import asyncio
import socket
import ssl
from collections.abc import Iterator
from enum import Enum

import asyncpg
from aiokafka.errors import KafkaError

from signalbox_chassis.messaging.connection import is_refusal


class Failure(Enum):
    PASSING = "the database or the network: wait and try the same again"
    REFUSED = "PostgreSQL or Kafka does not let us in: wait if it did before, give up at the start"
    SLOW = "a time limit: try again for a while, then hold the message itself responsible"
    LASTING = "the message or the code: trying again changes nothing"


# SQLSTATE: connection lost, shutdown, cannot connect now, too many connections, disk full, out of memory, deadlock,
# serialization, lock not available, read-only (a standby that is being promoted).
_PASSING_STATES = ("08", "57P01", "57P02", "57P03", "53", "40001", "40P01", "55P03", "25006", "25P03")
_SLOW_STATES = ("57014",)
_REFUSED_STATES = ("28", "3D000")  # wrong password, not allowed, no such database
# asyncpg makes its InterfaceError do for a lost connection and for a mistake of ours; these kinds are mistakes.
_MISTAKES = (
    asyncpg.exceptions.ClientConfigurationError,
    asyncpg.exceptions.UnsupportedClientFeatureError,
    asyncpg.exceptions.UnsupportedServerFeatureError,
)
_PASSING_TYPES = (ConnectionError, socket.gaierror, asyncpg.InterfaceError, KafkaError)


def classify(error: BaseException) -> Failure:
    """What kind of failure this is, looking through what `raise … from` put around it."""
    causes = list(_causes(error))
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return Failure.REFUSED
    for cause in causes:
        state = str(getattr(cause, "sqlstate", None) or "")
        if state.startswith(_SLOW_STATES) or isinstance(cause, TimeoutError | asyncio.TimeoutError):
            return Failure.SLOW
        if state.startswith(_REFUSED_STATES) or is_refusal(cause):
            return Failure.REFUSED
        if isinstance(cause, _MISTAKES) or _wrong_arguments(cause):
            return Failure.LASTING
        if state.startswith(_PASSING_STATES) or isinstance(cause, _PASSING_TYPES):
            return Failure.PASSING
    return Failure.LASTING


def _wrong_arguments(error: BaseException) -> bool:
    """A statement with too few or too many arguments: only its text tells it from a lost connection (asyncpg 0.31)."""
    return isinstance(error, asyncpg.InterfaceError) and str(error).startswith("the server expects ")


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        yield at
        at = at.__cause__
