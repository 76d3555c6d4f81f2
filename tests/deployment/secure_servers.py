"""Kafka, PostgreSQL and Redis as `deploy/` sets them up: TLS everywhere, users with passwords, an access list."""

import asyncio
import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from deployment.installation import HOME, Installation, unused_port
from signalbox_chassis.messaging.connection import KafkaConnection
from signalbox_local.kafka import KafkaCluster
from signalbox_local.postgres import PostgresServer
from signalbox_local.programs import Programs
from signalbox_local.settings import load

FAST: Final = {"fsync": "off", "max_connections": "200"}


@dataclass
class SecureServers:
    """What runs, and the folder of certificates and secrets."""

    secrets: Path
    kafka: KafkaCluster
    postgres: PostgresServer

    @property
    def ca(self) -> Path:
        return self.secrets / "ca.pem"

    def secret(self, name: str) -> str:
        return (self.secrets / name).read_text().strip()

    def connection(self, user: str, password: str, ca: Path | None = None) -> KafkaConnection:
        mechanism = "PLAIN" if user == "kafka_admin" else "SCRAM-SHA-512"
        return KafkaConnection(
            self.kafka.bootstrap, "SASL_SSL", user, password, mechanism, (ca or self.ca).read_text()
        )  # fmt: skip


def script(path: str, folder: Path, **variables: str) -> str:
    """Run one of the scripts an operator runs."""
    done = subprocess.run(
        [HOME / path, folder], env={**os.environ, **variables}, check=True, capture_output=True, text=True, timeout=60
    )
    return done.stdout


@contextmanager
def secure_servers(folder: Path) -> Generator[SecureServers]:
    """All three, for the time of the block."""
    secrets = folder / "secrets"
    script("deploy/make-certificates.sh", secrets)
    redis_port = unused_port()
    script(
        "compose/make-secrets.sh", secrets, KAFKA_USERS="yes", REDIS_SCHEME="rediss",
        REDIS_HOST=f"127.0.0.1:{redis_port}?ssl_ca_certs={secrets}/ca.pem", DATABASE_HOST="127.0.0.1:1/postgres",
    )  # fmt: skip
    kafka = KafkaCluster(folder / "kafka", extra=_kafka_properties(secrets))
    programs = Programs(replace(load(), postgres_bin=_postgres_with_tls()))
    keys = _postgres_folder(folder)
    settings = {**FAST, **_postgres_settings(keys, secrets)}
    postgres = PostgresServer(folder / "postgres", settings=settings, programs=programs)
    redis = _redis(folder, secrets, redis_port)
    made = SecureServers(secrets, kafka, postgres)
    try:
        kafka.launch()
        postgres.start()
        _write_addresses(made)
        asyncio.run(_until_kafka_answers(made))
        yield made
    finally:
        redis.terminate()
        redis.wait(10)
        kafka.stop()
        postgres.discard()
        for place in (kafka.folder, keys):
            shutil.rmtree(place, ignore_errors=True)


def installation_on(servers: SecureServers, folder: Path) -> Installation:
    """An installation where each service has its own user, role and secrets; nothing of it runs yet."""
    common = {
        "SIGNALBOX_KAFKA_BOOTSTRAP": servers.kafka.bootstrap,
        "SIGNALBOX_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "SIGNALBOX_KAFKA_CA_FILE": str(servers.ca),
    }
    return Installation(folder, servers.secrets, common, kafka_users=True)


def _kafka_properties(secrets: Path) -> dict[str, str]:
    """`compose/kafka/secure.properties`, with the ports of the local cluster. Its replication stays on loopback."""
    password = (secrets / "kafka_admin_password").read_text()
    text = (HOME / "compose/kafka/secure.properties").read_text().replace("@password@", password)
    lines = [line.partition("=") for line in text.replace("/run/secrets", str(secrets)).splitlines() if "=" in line]
    found = {name: value for name, _, value in lines if not name.startswith("#") and name != "listeners"}
    found["listener.security.protocol.map"] = "CLIENT:SASL_SSL,INTER:SASL_SSL,CONTROLLER:SASL_SSL"
    found["listener.name.inter.plain.sasl.jaas.config"] = found["listener.name.client.plain.sasl.jaas.config"]
    found["listener.name.inter.sasl.enabled.mechanisms"] = "PLAIN"
    return found


def _postgres_with_tls() -> str:
    """The distribution's PostgreSQL; the one that is fetched was built without TLS."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    assert found, "a PostgreSQL built with TLS is needed: apt-get install postgresql"
    return str(found[-1].parent)


def _postgres_folder(folder: Path) -> Path:
    """A place that the server's own user can enter."""
    place = Path("/var/tmp") / f"signalbox-{os.getpid()}-{folder.name}"
    place.mkdir(mode=0o755, exist_ok=True)
    return place


def _postgres_settings(place: Path, secrets: Path) -> dict[str, str]:
    """Certificate and key where the server's own user can read them, and nobody else."""
    for name in ("postgres.crt", "postgres.key"):
        shutil.copy(secrets / name, place / name)
        (place / name).chmod(0o600)
        if os.geteuid() == 0:
            with suppress(KeyError):
                account = pwd.getpwnam("postgres")
                os.chown(place / name, account.pw_uid, account.pw_gid)
    return {"ssl": "on", "ssl_cert_file": str(place / "postgres.crt"), "ssl_key_file": str(place / "postgres.key")}


def _write_addresses(servers: SecureServers) -> None:
    """The addresses of all roles, as `make-secrets.sh` writes them, now that the port is known."""
    where = f"127.0.0.1:{servers.postgres.port}/postgres?sslmode=verify-full&sslrootcert={servers.ca}"
    for file in servers.secrets.glob("*_database_url"):
        account = file.read_text().rpartition("@")[0]
        if file.name == "admin_database_url":
            account = servers.postgres.url.rpartition("@")[0]
        file.chmod(0o644)
        file.write_text(f"{account}@{where}")


def _redis(folder: Path, secrets: Path, port: int) -> subprocess.Popen[bytes]:
    program = shutil.which("redis-server")
    assert program, "a Redis built with TLS is needed: apt-get install redis-server"
    configuration = folder / "redis.conf"
    configuration.write_text(
        f"port 0\ntls-port {port}\nbind 127.0.0.1\ntls-auth-clients no\ntls-cert-file {secrets}/redis.crt\n"
        f"tls-key-file {secrets}/redis.key\ntls-ca-cert-file {secrets}/ca.pem\nsave \"\"\ndir {folder}\n"
        f"requirepass {(secrets / 'redis_password').read_text()}\n"
    )  # fmt: skip
    with (folder / "redis.log").open("wb") as log:
        return subprocess.Popen([program, str(configuration)], stdout=log, stderr=log)


async def _until_kafka_answers(servers: SecureServers) -> None:
    connection = servers.connection("kafka_admin", servers.secret("kafka_admin_password"))
    give_up_at = time.monotonic() + 60
    while True:
        try:
            return await connection.check()
        except Exception:
            if time.monotonic() > give_up_at:
                raise
            await asyncio.sleep(0.5)
