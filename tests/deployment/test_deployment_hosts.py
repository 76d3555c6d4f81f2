"""`deploy/install.sh` and `upgrade.sh` on a host with a real systemd and nginx, twice and back."""

import os
from collections.abc import Generator
from urllib.parse import urlsplit

import pytest

from deployment.compose_stack import ComposeStack
from deployment.docker import Docker
from deployment.host import NAME, SERVICES, Host

pytestmark = [pytest.mark.deployment, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def host(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> Generator[Host]:
    stack = ComposeStack(docker, f"signalbox-host-{os.getpid()}", tmp_path_factory.mktemp("host"))
    stack.make_secrets()
    made = Host(docker, stack)
    try:
        stack.compose("up", "-d", "--wait", "postgres", "kafka", "redis")
        made.start()
        yield made
    finally:
        made.stop()
        stack.down(volumes=True)


def test_a_host_that_will_not_do_is_named_line_by_line_and_nothing_is_installed(host: Host) -> None:
    done = host.process("/src/deploy/install.sh", "--kafka", "nonsense")
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert "install.sh: --kafka HOST:PORT is missing or wrong: 'nonsense'" in lines
    assert any("--database-admin-url-file must name a file" in line for line in lines)
    assert lines[-1] == "install.sh: nothing was installed"
    assert host.process("ls", "/opt/signalbox", "/etc/signalbox").returncode != 0
    upgraded = host.process("/src/deploy/upgrade.sh")
    assert "Signalbox is not installed here: deploy/install.sh" in upgraded.stderr


def test_a_port_in_use_and_a_foreign_system_are_named(host: Host) -> None:
    host.run("systemd-run", "-q", "--unit=taken", "python3", "-m", "http.server", "9103", "--bind", "127.0.0.1")
    host.until("bash -c 'echo > /dev/tcp/127.0.0.1/9103' 2>/dev/null && echo open", "open")
    refused = host.process("/src/deploy/install.sh").stderr.splitlines()
    assert "install.sh: port 9103 of this host is in use: stop what listens there" in refused
    host.run("systemctl", "stop", "taken")
    host.shell("cp -L /etc/os-release /root/os-release; rm /etc/os-release")
    host.write("/etc/os-release", "ID=ubuntu VERSION_ID=22.04")
    refused = host.process("/src/deploy/install.sh").stderr.splitlines()
    host.shell("cp /root/os-release /etc/os-release")
    assert "install.sh: ubuntu 22.04 is none of Rocky, CentOS, RHEL, AlmaLinux 9 and Debian 12, 13" in refused
    assert host.process("ls", "/opt/signalbox", "/etc/signalbox").returncode != 0


def test_it_is_installed_twice_and_serves_through_nginx(host: Host) -> None:
    admin = (host.stack.secrets / "admin_database_url").read_text()
    host.write("/root/admin", admin)
    host.write("/root/redis", (host.stack.secrets / "redis_url").read_text())
    address = urlsplit(admin)
    words = (
        "--kafka", "kafka:9092", "--database", f"{address.hostname}:{address.port}{address.path}", "--name", NAME,
        "--database-admin-url-file", "/root/admin", "--redis-url-file", "/root/redis",
    )  # fmt: skip
    # what Rocky and its like have: an enforcing SELinux and a closed firewall
    host.shell("printf '#!/bin/sh\necho Enforcing' > /usr/local/sbin/getenforce")
    host.shell("printf '#!/bin/sh\necho \"$@\" > /root/setsebool' > /usr/local/sbin/setsebool")
    host.shell("printf '#!/bin/sh\n[ $2 = --state ]' > /usr/local/sbin/firewall-cmd; chmod +x /usr/local/sbin/*")
    shown = host.run("/src/deploy/install.sh", *words)
    assert "the firewall is closed for the site: firewall-cmd --permanent --add-service=https" in shown
    assert host.shell("cat /root/setsebool").strip() == "-P httpd_can_network_connect on"
    secrets = host.shell("sha256sum /etc/signalbox/secrets/* /etc/signalbox/*.env")
    again = host.run("/src/deploy/install.sh", *words)
    assert "0 secrets made" in again
    assert host.shell("sha256sum /etc/signalbox/secrets/* /etc/signalbox/*.env") == secrets
    assert host.active() == dict.fromkeys(SERVICES, "active")
    assert host.run("systemd-analyze", "verify", "--man=no", "/etc/systemd/system/signalbox.target") == ""
    host.run("systemctl", "restart", "nginx")
    assert host.ask("/healthz") == 200
    assert host.ask("/api/v1/me") == 401
    assert host.ask("/api/v1/me", token=host.admin_token("ann")) == 200


def test_nginx_upgrades_websockets_and_limits_logins(host: Host) -> None:
    token = host.admin_token("ben")
    upgrade = (
        "Upgrade: websocket\\r\\nConnection: Upgrade\\r\\nSec-WebSocket-Version: 13\\r\\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\n"
    )
    assert host.ask("/api/v1/ws", token=token, headers=upgrade) == 101
    answers = [host.ask("/api/v1/auth/login", method="POST") for _ in range(30)]
    assert 429 in answers


def test_the_services_run_without_rights_and_without_secrets_in_their_environment(host: Host) -> None:
    for name in SERVICES:
        pid = host.run("systemctl", "show", "-P", "MainPID", f"signalbox-{name}").strip()
        status = host.shell(f"grep -E '^(Uid|NoNewPrivs|CapEff)' /proc/{pid}/status; id -u signalbox")
        assert f"Uid:\t{status.split()[-1]}\t" in status
        assert "NoNewPrivs:\t1" in status
        assert "CapEff:\t0000000000000000" in status
        assert "postgresql://" not in host.shell(f"tr '\\0' '\\n' < /proc/{pid}/environ")


def test_a_killed_service_and_a_restarted_host_come_back_by_themselves(host: Host) -> None:
    host.run("systemctl", "kill", "-s", "KILL", "signalbox-planner")
    host.until("systemctl is-active signalbox-planner", "active")
    host.docker.run("restart", "-t", "60", host.name)
    host.booted()
    host.until("systemctl is-active " + " ".join(f"signalbox-{name}" for name in SERVICES), "\n".join(["active"] * 6))
    host.until(f'/opt/signalbox/current/bin/python -c "{HEALTHY}"', "200")


def test_a_database_of_a_newer_version_is_one_line_and_changes_nothing(host: Host) -> None:
    host.stack.sql("UPDATE planner.schema_version SET version_num = '9999'")
    host.run("systemctl", "stop", "signalbox.target", "signalbox-provision")
    done = host.process("/src/deploy/install.sh")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "install.sh: topics and schemas could not be made: provision: the schema planner is at revision 9999"
    )
    host.stack.sql("UPDATE planner.schema_version SET version_num = '0001'")
    host.run("/src/deploy/install.sh")
    assert host.active() == dict.fromkeys(SERVICES, "active")


def test_an_upgrade_changes_the_release_and_a_broken_one_is_put_back(host: Host) -> None:
    before = host.release()
    assert "is in use already" in host.run("/src/deploy/upgrade.sh")
    host.shell("echo '# another release' >> /src/libs/chassis/src/signalbox_chassis/__init__.py")
    host.run("/src/deploy/upgrade.sh")
    after = host.release()
    assert after != before
    assert host.active() == dict.fromkeys(SERVICES, "active")
    host.shell("sed -i '1i raise SystemExit(1)' /src/services/planner/src/signalbox_planner/__main__.py")
    broken = host.process("/src/deploy/upgrade.sh")
    assert broken.returncode == 1
    assert f"did not become ready; {after} is put back" in broken.stderr
    assert host.release() == after
    host.until("systemctl is-active signalbox-planner", "active")
    host.run("/src/deploy/upgrade.sh", "--back")
    assert host.release() == before


HEALTHY = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8000/healthz', timeout=5).status)"
