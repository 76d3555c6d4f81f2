"""`python -m signalbox_chassis.messaging.access`: who may do what on Kafka, derived from what each service declares.

It prints the rules, as options of `kafka-acls.sh`, and changes nothing. `--apply` adds them on the brokers of the
settings (`SIGNALBOX_KAFKA_*`, an administrator's). `--passwords FOLDER` also makes the users: `<schema>_kafka_password`
holds the password of `signalbox_<schema>`. Provisioning does both when its folder of addresses has such files.

Exits 0, 1 (the brokers refused) or 2 (settings).
"""

import argparse
import asyncio
import hashlib
import os
import secrets
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aiokafka.errors import KafkaError
from aiokafka.protocol.admin import CreateAclsRequest_v1
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    CompactArray,
    CompactBytes,
    CompactString,
    Int8,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from signalbox_chassis.messaging.connection import KafkaConnection, KafkaRefused, admin_client
from signalbox_contracts.services import ServiceSpec, installed_services

ROLE_PREFIX: Final = "signalbox_"
PASSWORD_SUFFIX: Final = "_kafka_password"
ITERATIONS: Final = 8192
_SHA_512: Final = 2
_RESOURCES: Final = {"topic": 2, "group": 3, "cluster": 4}
_OPERATIONS: Final = {"Read": 3, "Write": 4, "Describe": 8, "IdempotentWrite": 12}
_LITERAL, _PREFIXED, _ALLOW = 3, 4, 3
_NO_AUTHORIZER: Final = 54
_SOURCES: Final = "triggers.v1"


class AccessRefused(Exception):
    """The brokers would not take users or rules; carries their own words."""


@dataclass(frozen=True, slots=True)
class Prefixes:
    """What the names of topics, groups and users begin with."""

    topic: str = "signalbox."
    group: str = "signalbox."
    role: str = ROLE_PREFIX


@dataclass(frozen=True, slots=True)
class AccessRule:
    """One thing that one user may do."""

    user: str
    resource: str
    """`topic`, `group` or `cluster`."""
    name: str
    operation: str
    prefixed: bool = False

    def options(self) -> str:
        """As `kafka-acls.sh` takes it."""
        where = "--cluster" if self.resource == "cluster" else f"--{self.resource} {self.name}"
        pattern = " --resource-pattern-type prefixed" if self.prefixed else ""
        return f"--add --allow-principal User:{self.user} --operation {self.operation} {where}{pattern}"


def rules_of(spec: ServiceSpec, prefixes: Prefixes) -> list[AccessRule]:
    """What this service needs, and nothing else. Nobody uses transactions: the outbox makes them superfluous."""
    user = f"{prefixes.role}{spec.schema}"
    rules = [*_topic_rules(user, spec, prefixes)]
    if spec.consumers:
        rules.append(AccessRule(user, "group", f"{prefixes.group}{spec.name}.", "Read", prefixed=True))
    if spec.watches_groups:
        rules.append(AccessRule(user, "group", prefixes.group, "Describe", prefixed=True))
        rules.append(AccessRule(user, "topic", prefixes.topic, "Describe", prefixed=True))
    rules.append(AccessRule(user, "cluster", "kafka-cluster", "IdempotentWrite"))
    return list(dict.fromkeys(rules))


def _topic_rules(user: str, spec: ServiceSpec, prefixes: Prefixes) -> Iterator[AccessRule]:
    for operation, topics in (("Read", (*spec.reads, *spec.inspects)), ("Write", spec.sends)):
        for name in topics:
            yield AccessRule(user, "topic", f"{prefixes.topic}{name}", operation)
            if name == _SOURCES:  # a source of events may have a topic of its own
                yield AccessRule(user, "topic", f"{prefixes.topic}{name}.", operation, prefixed=True)


def read_passwords(folder: Path, specs: Sequence[ServiceSpec]) -> dict[str, str]:
    """Schema → password of its Kafka user; empty when the folder has none. Raises AccessRefused naming the missing."""
    found: dict[str, str] = {}
    missing: list[str] = []
    for spec in specs:
        file = folder / f"{spec.schema}{PASSWORD_SUFFIX}"
        try:
            password = file.read_text().strip()
        except OSError:
            password = ""
        if password:
            found[spec.schema] = password
        else:
            missing.append(str(file))
    if found and missing:
        raise AccessRefused(f"these passwords of Kafka users are missing or empty: {', '.join(missing)}")
    return found


async def apply_rules(kafka: KafkaConnection, rules: Sequence[AccessRule]) -> None:
    """Add what is missing. Raises AccessRefused."""
    rows = [
        (_RESOURCES[rule.resource], rule.name, _PREFIXED if rule.prefixed else _LITERAL, f"User:{rule.user}", "*",
         _OPERATIONS[rule.operation], _ALLOW)
        for rule in rules
    ]  # fmt: skip
    response = await _ask(kafka, _CreateRules(rows))
    for rule, (code, message) in zip(rules, response.creation_responses, strict=True):
        if code == _NO_AUTHORIZER:
            raise AccessRefused("the brokers keep no access list: set authorizer.class.name on them")
        if code:
            raise AccessRefused(f"rule for {rule.user} on {rule.resource} {rule.name}: {message or f'error {code}'}")


async def create_users(kafka: KafkaConnection, passwords: Mapping[str, str]) -> None:
    """Make SCRAM-SHA-512 users, or give them this password. Raises AccessRefused."""
    rows: list[Any] = []
    for user, password in passwords.items():
        salt = secrets.token_bytes(32)
        salted = await asyncio.to_thread(hashlib.pbkdf2_hmac, "sha512", password.encode(), salt, ITERATIONS)
        rows.append((user, _SHA_512, ITERATIONS, salt, salted, {}))
    response = await _ask(kafka, _AlterUsers(rows))
    for user, code, message, _ in response.results:
        if code:
            raise AccessRefused(f"user {user}: {message or f'error {code}'}")


async def grant(kafka: KafkaConnection, specs: Sequence[ServiceSpec], prefixes: Prefixes, folder: Path | None) -> int:
    """Users, where the folder has their passwords, and their rules; how many rules. Raises AccessRefused."""
    rules = [rule for spec in specs for rule in rules_of(spec, prefixes)]
    try:
        passwords = read_passwords(folder, specs) if folder else {}
        if passwords:
            await create_users(kafka, {f"{prefixes.role}{schema}": one for schema, one in passwords.items()})
        await apply_rules(kafka, rules)
    except KafkaError as error:
        raise AccessRefused(f"{type(error).__name__}: {error}") from error
    return len(rules)


async def _ask(kafka: KafkaConnection, request: Any) -> Any:
    client: Any = admin_client(kafka, request_timeout_ms=15_000)
    await client.start()
    try:
        return await client._send_to_controller(request)
    finally:
        await client.close()


class _CreateRules(Request[CreateAclsRequest_v1]):
    """All rules in one request; aiokafka's own takes one."""

    API_KEY = 30

    def __init__(self, rows: list[Any]) -> None:
        self._rows = rows

    def build(self, request_struct_class: type[CreateAclsRequest_v1]) -> CreateAclsRequest_v1:
        return request_struct_class(self._rows)


class _AlterUsersResponse(Response):
    API_KEY = 51  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]
    API_VERSION = 0  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "results",
            CompactArray(
                ("user", CompactString("utf-8")),
                ("error_code", Int16),
                ("error_message", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _AlterUsersStruct(RequestStruct):
    """AlterUserScramCredentials, version 0 (Apache Kafka's protocol guide); aiokafka 0.14 does not have it."""

    FLEXIBLE_VERSION = True
    API_KEY = 51
    API_VERSION = 0
    RESPONSE_TYPE = _AlterUsersResponse
    SCHEMA = Schema(
        ("deletions", CompactArray(("name", CompactString("utf-8")), ("mechanism", Int8), ("tags", TaggedFields))),
        (
            "upsertions",
            CompactArray(
                ("name", CompactString("utf-8")),
                ("mechanism", Int8),
                ("iterations", Int32),
                ("salt", CompactBytes),
                ("salted_password", CompactBytes),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _AlterUsers(Request[_AlterUsersStruct]):
    API_KEY = 51

    def __init__(self, rows: list[Any]) -> None:
        self._rows = rows

    def build(self, request_struct_class: type[_AlterUsersStruct]) -> _AlterUsersStruct:
        return request_struct_class([], self._rows, {})


def main() -> int:
    from signalbox_chassis.persistence.provision import ProvisionSettings

    parser = argparse.ArgumentParser(prog="python -m signalbox_chassis.messaging.access", description=__doc__)
    parser.add_argument("--apply", action="store_true", help="add the rules on the brokers of the settings")
    parser.add_argument("--passwords", type=Path, help="make the users too, with the passwords in this folder")
    parser.add_argument("--role-prefix", default=ROLE_PREFIX, help="what the names of the users begin with")
    arguments = parser.parse_args()
    specs = installed_services()
    given = {name: os.environ.get(f"SIGNALBOX_{name.upper()}_PREFIX", "signalbox.") for name in ("topic", "group")}
    prefixes = Prefixes(given["topic"], given["group"], arguments.role_prefix)
    if not arguments.apply and not arguments.passwords:
        print("\n".join(rule.options() for spec in specs for rule in rules_of(spec, prefixes)))
        return 0
    settings = ProvisionSettings.load()
    try:
        asyncio.run(_apply(settings.kafka, specs, prefixes, arguments.passwords))
    except (AccessRefused, KafkaRefused, KafkaError) as error:
        print(f"access: {error}", file=sys.stderr)
        return 1
    return 0


async def _apply(kafka: KafkaConnection, specs: Sequence[ServiceSpec], prefixes: Prefixes, folder: Path | None) -> None:
    await kafka.check()
    print(f"{await grant(kafka, specs, prefixes, folder)} rules are in force for {len(specs)} services")


if __name__ == "__main__":
    sys.exit(main())
