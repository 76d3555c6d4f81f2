"""How a Kafka client connects to the brokers: addresses, TLS, user. Every client of Signalbox is created here.

A text instead of a `KafkaConnection` is the addresses alone: plain text, without a user.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal, cast

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import create_conn  # pyright: ignore[reportUnknownVariableType]
from aiokafka.errors import (
    AuthenticationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)

from signalbox_chassis.runtime.tasks import cancel

Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"]
CHECK_SECONDS: Final = 5.0
_REFUSALS: Final = (
    AuthenticationFailedError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
    IllegalSaslStateError,
)


class KafkaRefused(Exception):
    """The broker does not let this client in, or is not the broker it should be. Trying again changes nothing."""


@dataclass(frozen=True)
class KafkaConnection:
    """Where the brokers are and how to talk to them."""

    bootstrap: str
    """`host:port`, several separated by commas."""
    protocol: Protocol = "PLAINTEXT"
    user: str = ""
    password: str = field(default="", repr=False)
    mechanism: Mechanism = "SCRAM-SHA-512"
    ca: str = field(default="", repr=False)
    """Certificates of the authorities to trust, as PEM. Empty: those of the system."""

    @property
    def encrypted(self) -> bool:
        return self.protocol.endswith("SSL")

    @property
    def authenticated(self) -> bool:
        return self.protocol.startswith("SASL")

    @cached_property
    def ssl_context(self) -> ssl.SSLContext | None:
        """Verifies the broker's certificate and its host name; None without TLS."""
        return ssl.create_default_context(cadata=self.ca or None) if self.encrypted else None

    def options(self) -> dict[str, Any]:
        """The arguments of every aiokafka client, except what it is for."""
        return {"bootstrap_servers": self.bootstrap, **self._security()}

    def _security(self) -> dict[str, Any]:
        if self.protocol == "PLAINTEXT":
            return {}
        options: dict[str, Any] = {"security_protocol": self.protocol, "ssl_context": self.ssl_context}
        if self.authenticated:
            options |= {"sasl_mechanism": self.mechanism, "sasl_plain_username": self.user}
            options["sasl_plain_password"] = self.password
        return options

    def broker_security(self) -> Any:
        """The same for FastStream's broker."""
        from faststream import security

        if self.protocol == "PLAINTEXT":
            return None
        shared: dict[str, Any] = {"ssl_context": self.ssl_context, "use_ssl": self.encrypted}
        if not self.authenticated:
            return security.BaseSecurity(**shared)
        kinds = {"SCRAM-SHA-512": security.SASLScram512, "SCRAM-SHA-256": security.SASLScram256}
        kind = kinds.get(self.mechanism, security.SASLPlaintext)
        return kind(username=self.user, password=self.password, **shared)

    async def check(self) -> None:
        """Connect once. Raises KafkaRefused in words for people, or KafkaConnectionError when nobody answers."""
        last: Exception | None = None
        for address, (host, port) in zip(self.bootstrap.split(","), broker_addresses(self.bootstrap), strict=True):
            try:
                connection = await create_conn(
                    host, port, request_timeout_ms=int(CHECK_SECONDS * 1000), **self._security()
                )
            except Exception as error:
                if reason := self._refusal(address, error):
                    raise KafkaRefused(reason) from None
                last = error
                continue
            await cast("Any", connection.close())
            return
        raise KafkaConnectionError(f"{self.bootstrap} does not answer: {last or 'no address'}")

    def _refusal(self, address: str, error: Exception) -> str:
        """Why this client is not let in; empty when it may be only for now. It names the user, never the password."""
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"Kafka {address}: its certificate is refused ({error.verify_message}); see SIGNALBOX_KAFKA_CA_FILE"
        if isinstance(error, ssl.SSLError):
            return f"Kafka {address}: no TLS there ({error.reason}); see SIGNALBOX_KAFKA_SECURITY_PROTOCOL"
        if isinstance(error, UnsupportedSaslMechanismError):
            return f"Kafka {address}: does not offer {self.mechanism}; see SIGNALBOX_KAFKA_SASL_MECHANISM"
        if isinstance(error, IllegalSaslStateError):
            return f"Kafka {address}: takes no user on this port; see SIGNALBOX_KAFKA_SECURITY_PROTOCOL"
        if isinstance(error, _REFUSALS):
            return f"Kafka {address}: user {self.user} or its password is wrong; see SIGNALBOX_KAFKA_PASSWORD_FILE"
        return ""


_BROKER: Final = r"(\[[0-9a-fA-F:.]+\]|[^\s,:\[\]]+):\d{1,5}"
BROKERS_PATTERN: Final = f"{_BROKER}(,{_BROKER})*"
"""What names brokers: `host:port` or `[IPv6 address]:port`, several separated by commas."""
BROKERS_WORDS: Final = "`host:port` or `[IPv6 address]:port`, several separated by commas"


def broker_addresses(bootstrap: str) -> list[tuple[str, int]]:
    """Host and port of each broker; an IPv6 address without its brackets."""
    parts = (address.rpartition(":") for address in bootstrap.split(","))
    return [(host.removeprefix("[").removesuffix("]"), int(port)) for host, _, port in parts]


Kafka = KafkaConnection | str


def connection_of(kafka: Kafka) -> KafkaConnection:
    return KafkaConnection(kafka) if isinstance(kafka, str) else kafka


def consumer(kafka: Kafka, **options: Any) -> AIOKafkaConsumer:
    """A consumer that commits nothing by itself and begins at the beginning.

    With aiokafka's default, `latest`, the reset that `assign` begins sometimes wins over a `seek` that follows it, and
    nothing is read.
    """
    given: Mapping[str, Any] = {"enable_auto_commit": False, "auto_offset_reset": "earliest", **options}
    return _Consumer(**connection_of(kafka).options(), **given)


class _Consumer(AIOKafkaConsumer):
    async def stop(self) -> None:
        await end_fetches(self)
        await super().stop()


async def end_fetches(reader: Any) -> None:
    """Cancel what a consumer fetches, before it is stopped.

    While Kafka does not answer, `stop` of aiokafka 0.14.0 raises the CancelledError of a fetch that it cancelled itself
    (`Fetcher.close`): the caller ends as if it was cancelled, and the consumer keeps its connections.
    """
    fetcher = getattr(reader, "_fetcher", None)
    if fetcher is not None:
        await cancel(fetcher._fetch_task, *fetcher._pending_tasks)
        fetcher._pending_tasks.clear()


def producer(kafka: Kafka, **options: Any) -> AIOKafkaProducer:
    return AIOKafkaProducer(**connection_of(kafka).options(), **options)


def admin_client(kafka: Kafka, **options: Any) -> AIOKafkaAdminClient:
    return AIOKafkaAdminClient(**connection_of(kafka).options(), **options)


def is_refusal(error: BaseException) -> bool:
    """Whether the broker refused this client, and not only for now."""
    return isinstance(error, KafkaRefused | AuthenticationFailedError | SaslAuthenticationFailed)


__all__ = [
    "BROKERS_PATTERN", "BROKERS_WORDS", "Kafka", "KafkaConnection", "KafkaError", "KafkaRefused", "Mechanism",
    "Protocol", "admin_client", "broker_addresses", "connection_of", "consumer", "is_refusal", "producer",
]  # fmt: skip
