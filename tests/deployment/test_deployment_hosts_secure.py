"""`deploy/install.sh` where Kafka has users and TLS, and PostgreSQL and Redis are reached over TLS."""

import os
from collections.abc import Generator
from urllib.parse import urlsplit

import pytest

from deployment.compose_stack import ComposeStack
from deployment.docker import Docker
from deployment.host import NAME, SERVICES, Host

pytestmark = [pytest.mark.deployment, pytest.mark.timeout(3600)]
CA = "/etc/signalbox/ca.pem"


@pytest.fixture(scope="module")
def host(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> Generator[Host]:
    folder = tmp_path_factory.mktemp("host-secure")
    stack = ComposeStack(docker, f"signalbox-host-secure-{os.getpid()}", folder, secure=True)
    stack.make_secrets()
    made = Host(docker, stack)
    try:
        stack.compose("up", "-d", "--wait", "postgres", "kafka", "redis")
        made.start()
        for name in ("admin_database_url", "redis_url", "kafka_admin_password", "ca.pem"):
            content = (stack.secrets / name).read_text().replace("/run/secrets/ca.pem", CA)
            made.write(f"/root/{name}", content)
        yield made
    finally:
        made.stop()
        stack.down(volumes=True)


def options(host: Host) -> list[str]:
    address = urlsplit(host.shell("cat /root/admin_database_url").strip())
    return [
        "--kafka", "kafka:9092", "--database", f"{address.hostname}:{address.port}{address.path}?sslmode=verify-full",
        "--database-admin-url-file", "/root/admin_database_url", "--redis-url-file", "/root/redis_url", "--name", NAME,
        "--kafka-admin-password-file", "/root/kafka_admin_password",
    ]  # fmt: skip


def test_what_tls_lacks_is_named_and_nothing_is_installed(host: Host) -> None:
    done = host.process("/src/deploy/install.sh", *options(host))
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "install.sh: --ca-file is missing: sslmode=verify-full needs the authority to verify with",
        "install.sh: --ca-file is missing: Kafka's users send their passwords over TLS only",
        "install.sh: nothing was installed",
    ]
    done = host.process("/src/deploy/install.sh", *options(host), "--ca-file", "/root/redis_url")
    assert "install.sh: --ca-file must name a certificate in PEM: '/root/redis_url'" in done.stderr.splitlines()
    assert host.process("ls", "/opt/signalbox", "/etc/signalbox").returncode != 0


def test_every_service_runs_with_a_user_of_its_own_and_over_tls(host: Host) -> None:
    words = [*options(host), "--ca-file", "/root/ca.pem"]
    host.run("/src/deploy/install.sh", *words)
    settings = host.shell("sha256sum /etc/signalbox/secrets/* /etc/signalbox/*.env")
    assert "0 secrets made" in host.run("/src/deploy/install.sh", *words)
    assert host.shell("sha256sum /etc/signalbox/secrets/* /etc/signalbox/*.env") == settings
    assert host.active() == dict.fromkeys(SERVICES, "active")
    assert host.run("systemd-analyze", "verify", "--man=no", "/etc/systemd/system/signalbox.target") == ""
    host.run("systemctl", "restart", "nginx")
    assert host.ask("/api/v1/me", token=host.admin_token("ann")) == 200
    shown = host.stack.sql(
        "SELECT usename, bool_and(ssl) FROM pg_stat_activity JOIN pg_stat_ssl USING (pid)"
        " WHERE usename LIKE 'signalbox\\_%' GROUP BY 1 ORDER BY 1"
    )
    assert shown.splitlines() == [f"signalbox_{name.replace('-', '_')}|t" for name in sorted(SERVICES)]


def test_a_service_sees_no_password_but_its_own(host: Host) -> None:
    pid = host.run("systemctl", "show", "-P", "MainPID", "signalbox-planner").strip()
    shown = host.run("runuser", "-u", "signalbox", "--", "ls", f"/proc/{pid}/root/etc/signalbox/secrets")
    assert shown.split() == ["planner_database_url", "planner_kafka_password"]
