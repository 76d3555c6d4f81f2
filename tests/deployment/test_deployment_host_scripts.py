"""What `deploy/` does on a host, without a host: its functions and units, with stand-ins for what root would change."""

import subprocess
from pathlib import Path

import pytest

from deployment.compose_stack import HOME

UNITS = sorted((HOME / "deploy/systemd").glob("signalbox-*.service"))


def run(folder: Path, words: str, *programs: str, path: str = "") -> subprocess.CompletedProcess[str]:
    """`words` in bash, behind `release.sh`; its folders are in `folder`. `programs` are stand-ins that do nothing."""
    for name in ("etc", "sites", "bin"):
        (folder / name).mkdir(exist_ok=True)
    for name in programs:
        (folder / "bin" / name).write_text("#!/bin/sh\n")
        (folder / "bin" / name).chmod(0o755)
    script = (
        f"set -euo pipefail; source={HOME}; . $source/deploy/release.sh; etc={folder}/etc sites={folder}/sites; {words}"
    )
    command, environment = ["/bin/bash", "-c", f"umask 077; {script}"], {"PATH": f"{folder}/bin:{path}"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("unit", UNITS, ids=lambda file: file.stem)
def test_a_service_starts_although_topics_and_schemas_cannot_be_looked_at(unit: Path) -> None:
    """A host that comes back before its Kafka: `Requires=` would leave each service down until somebody starts it.

    It would also stop all of them while an upgrade migrates, and keep the release before from being put back.
    """
    text = unit.read_text()
    assert "Requires=" not in text
    if unit.stem != "signalbox-provision":
        assert "After=network-online.target signalbox-provision.service" in text
        assert "Wants=network-online.target signalbox-provision.service" in text


def test_what_root_makes_can_be_read_by_the_user_of_the_services(tmp_path: Path) -> None:
    """Hardened hosts give root the mask 077: every service would fail to open its own program."""
    done = run(tmp_path, f"mkdir -p {tmp_path}/release/bin", path="/usr/bin:/bin")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "release/bin").stat().st_mode & 0o777 == 0o755


def test_settings_are_read_as_systemd_reads_them_and_nothing_in_them_is_run(tmp_path: Path) -> None:
    file = tmp_path / "a service.env"
    file.write_text(
        '# a comment\n\nSCOPES=openid profile email\nSECRET=a$b`touch ran`&c;d#e\nQUOTED="two words"\n'
        "URL=https://signalbox.example/?a=1&b=2 \nEMPTY=\nLAST=without a line end"
    )
    words = f'export_settings \'{file}\'; printf \'%s|\' "$SCOPES" "$SECRET" "$QUOTED" "$URL" "$EMPTY" "$LAST"'
    done = run(tmp_path, words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("|")[:-1] == [
        "openid profile email", "a$b`touch ran`&c;d#e", "two words", "https://signalbox.example/?a=1&b=2", "",
        "without a line end",
    ]  # fmt: skip


def test_without_a_certificate_there_is_no_site_which_nginx_could_not_start_with(tmp_path: Path) -> None:
    """Else the next restart of nginx would take down every other site of the host."""
    (tmp_path / "bin").mkdir()
    for name in ("basename", "mkdir", "sed", "tail"):
        (tmp_path / "bin" / name).symlink_to(Path("/usr/bin") / name)
    done = run(tmp_path, "install_site signalbox.test", "nginx", "systemctl")
    assert done.returncode == 1
    assert "there is no certificate for the site" in done.stderr
    assert list((tmp_path / "sites").iterdir()) == []
    again = run(tmp_path, "install_site signalbox.test", "nginx", "systemctl", path="/usr/bin:/bin")
    assert again.returncode == 0, again.stderr
    assert "server_name signalbox.test;" in (tmp_path / "sites/signalbox.conf").read_text()
    assert (tmp_path / "etc/tls/server.key").stat().st_mode & 0o777 == 0o600


def test_an_option_without_its_value_is_one_line() -> None:
    done = subprocess.run(
        [HOME / "deploy/install.sh", "--no-start", "--kafka"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (2, "install.sh: --kafka needs a value\n")
