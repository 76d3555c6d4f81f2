"""What is shipped fits together: scripts parse, copies are equal, bad input is one line."""

import gzip
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml

from deployment.compose_stack import HOME, version
from signalbox_notifier.settings import NotifierSettings

SCRIPTS = sorted(
    file
    for folder in ("compose", "deploy", "k8s")
    for file in (HOME / folder).rglob("*.sh")
    if ".venv" not in file.parts
)
SERVICES = {"planner", "executor", "scheduler", "notifier", "reprocessor", "api-gateway"}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda file: file.name)
def test_every_script_is_bash_that_parses(script: Path) -> None:
    subprocess.run(["bash", "-n", script], check=True, timeout=10)


def test_the_broker_of_the_cluster_is_set_up_like_that_of_compose() -> None:
    for name in ("server.properties", "start.sh"):
        assert (HOME / "k8s/components/servers" / name).read_text() == (HOME / "compose/kafka" / name).read_text()


def test_every_way_runs_every_service() -> None:
    composed = yaml.safe_load((HOME / "compose/compose.yaml").read_text())["services"]
    assert set(composed) >= {*SERVICES, "provision", "console"}
    assert [name for name in composed if name in SERVICES | {"console"} and "ports" in composed[name]] == ["console"]
    assert (HOME / "k8s/base/console.yaml").is_file()
    for name in SERVICES:
        assert composed[name]["read_only"] is True
        assert composed[name]["depends_on"]["provision"] == {"condition": "service_completed_successfully"}
        assert (HOME / "k8s/base" / f"{name}.yaml").is_file()
        unit = (HOME / "deploy/systemd" / f"signalbox-{name}.service").read_text()
        assert "NoNewPrivileges=yes" in unit
        assert "ProtectSystem=strict" in unit
        assert (HOME / "deploy/env" / f"{name}.env").is_file()


def test_compose_hands_every_setting_of_the_mail_server_to_the_notifier() -> None:
    composed = yaml.safe_load((HOME / "compose/compose.yaml").read_text())
    given = composed["services"]["notifier"]["environment"]
    named = {f"SIGNALBOX_{name.upper()}" for name in NotifierSettings.model_fields if name.startswith("smtp_")}
    assert {name.removesuffix("_FILE") for name in given if name.startswith("SIGNALBOX_SMTP_")} == named
    assert "smtp_password" in composed["services"]["notifier"]["secrets"]
    assert "smtp_password" in composed["secrets"]


def test_every_way_names_the_version_of_this_checkout() -> None:
    assert set(re.findall(r"SIGNALBOX_VERSION:-([\d.]+)", (HOME / "compose/compose.yaml").read_text())) == {version()}
    for overlay in ("dev", "prod"):
        images = yaml.safe_load((HOME / "k8s/overlays" / overlay / "kustomization.yaml").read_text())["images"]
        assert {image["newTag"] for image in images} == {version()}
        assert {image["name"] for image in images} == {f"signalbox/{name}" for name in (*SERVICES, "console", "tools")}


@pytest.mark.parametrize(
    ("engine", "line"),
    [
        ("19.03.15", "build.sh: Docker 19.03.15 is too old: 20.10 or newer is needed"),
        ("", "build.sh: no Docker engine answers: start it, or set DOCKER_HOST"),
    ],
)
def test_a_docker_that_will_not_do_is_one_line(engine: str, line: str, tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    docker.write_text(f"#!/bin/sh\n[ -n '{engine}' ] && echo '{engine}' || exit 1\n")
    docker.chmod(0o755)
    done = subprocess.run(
        [HOME / "compose/images/build.sh"], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True,
        timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines() == [line]


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("compose/make-secrets.sh file", "make-secrets.sh: file cannot be made"),
        ("deploy/make-certificates.sh file", "make-certificates.sh: file cannot be made"),
        ("compose/backup.sh backup", "backup.sh: there is no docker compose 2: install docker-compose-plugin"),
        ("k8s/check.sh k8s/overlays/prod", "check.sh: there is no kubectl: install it, or set KUBECTL"),
        ("k8s/make-secrets.sh signalbox none", "make-secrets.sh: there is no kubectl: install it, or set KUBECTL"),
        ("deploy/admin.sh create ann", "admin.sh: Signalbox is not installed here: deploy/install.sh"),
    ],
)
def test_what_a_script_lacks_is_one_line_and_it_leaves_nothing_behind(command: str, line: str, tmp_path: Path) -> None:
    if command.startswith("deploy/admin.sh") and Path("/etc/signalbox").exists():
        pytest.skip("Signalbox is installed on this machine")
    (tmp_path / "file").touch()
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("bash", "env", "dirname", "mkdir", "openssl", "id"):
        (programs / name).symlink_to(shutil.which(name) or "/missing")
    script, *words = command.split()
    done = subprocess.run(
        [HOME / script, *words], env={"PATH": str(programs)}, cwd=tmp_path, capture_output=True, text=True, timeout=30,
        check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines() == [line]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "programs"]


def test_a_cluster_with_one_api_that_is_away_is_still_a_cluster(tmp_path: Path) -> None:
    """`kubectl api-resources` then lists all others, and exits with 1."""
    kubectl = tmp_path / "kubectl"
    kubectl.write_text("""#!/bin/sh
case $1 in
  kustomize) printf 'apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  namespace: signalbox\n' ;;
  api-resources) echo 'deployments deploy apps/v1 true Deployment'; exit 1 ;;
esac
""")
    kubectl.chmod(0o755)
    done = subprocess.run(
        [HOME / "k8s/check.sh", "overlay"], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_passwords_of_ones_own_are_written_into_addresses_as_addresses_want_them(tmp_path: Path) -> None:
    password = "a@b/c:d%e?f#g h&é"
    (tmp_path / "postgres_password").write_text(password)
    (tmp_path / "redis_password").write_text(password)
    subprocess.run([HOME / "compose/make-secrets.sh", tmp_path], check=True, capture_output=True, timeout=60)
    for name, host in (("admin_database_url", "postgres"), ("redis_url", "redis")):
        address = urlsplit((tmp_path / name).read_text())
        assert address.hostname == host
        assert unquote(address.password or "") == password


@pytest.mark.parametrize("damaged", ["database.dump", "files.tar.gz"])
def test_a_damaged_backup_is_refused_before_anything_is_stopped(damaged: str, tmp_path: Path) -> None:
    (tmp_path / "database.dump").write_bytes(b"PGDMP and so on")
    (tmp_path / "files.tar.gz").write_bytes(gzip.compress(b"files"))
    (tmp_path / damaged).write_bytes(b"something else")
    done = subprocess.run(
        [HOME / "compose/restore.sh", tmp_path, "--yes"], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"restore.sh: {tmp_path}/{damaged} is ")


def run_with_docker(
    folder: Path, docker: str, *words: str | Path
) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """A script with a stand-in of docker, which first writes its words as a line; and these lines."""
    programs, calls = folder / "programs", folder / "calls"
    programs.mkdir()
    (programs / "docker").write_text(f"#!/bin/bash\necho \"$*\" >> '{calls}'\ncalls='{calls}'\n{docker}")
    (programs / "docker").chmod(0o755)
    done = subprocess.run(
        words, env={"PATH": f"{programs}:/usr/bin:/bin"}, capture_output=True, text=True, timeout=60, check=False
    )
    return done, calls.read_text().splitlines()


def test_a_backup_of_a_newer_version_is_left_by_restoring_the_older_one(tmp_path: Path) -> None:
    """`provision` of the older version refuses the newer schemas: they must be gone before it runs."""
    backup = tmp_path / "a backup"
    backup.mkdir()
    (backup / "database.dump").write_bytes(b"PGDMP and so on")
    (backup / "files.tar.gz").write_bytes(gzip.compress(b"files"))
    docker = """
case $* in
  *"run --rm -T provision"*) grep -q "DROP DATABASE" "$calls" || exit 1 ;; # newer schemas
  *"config --format json"*) echo '      "image": "signalbox/executor:0.1.0",' ;;
  *pg_restore* | *-xzf*) cat > /dev/null ;;
esac
"""
    done, calls = run_with_docker(tmp_path, docker, HOME / "compose/restore.sh", backup, "--yes")
    assert done.returncode == 0, done.stderr
    steps = [
        "pg_restore --list",
        "DROP DATABASE",
        "provision",
        "DROP DATABASE",
        "pg_restore -h",
        "-xzf",
        "up -d --wait",
    ]
    at = 0
    for step in steps:
        at = next(n for n, call in enumerate(calls) if n >= at and step in call) + 1


@pytest.mark.parametrize(("code", "done_well"), [(1, True), (2, False)])
def test_a_file_that_is_written_during_the_backup_does_not_end_it(code: int, done_well: bool, tmp_path: Path) -> None:
    """tar exits with 1 then, and the stack works while it is backed up. With 2 it could not read something."""
    docker = f"""
case $* in
  *"ps -q --status running postgres"*) echo 1 ;;
  *"ps -aq executor"*) printf '2\n3\n' ;; # two of them
  inspect*) printf 'signalbox/executor:0.1.0\nsignalbox/executor:0.1.0\n' ;;
  *" -czf "*) echo files; exit {code} ;;
  *pg_dump*) echo PGDMP ;;
esac
"""
    folder = tmp_path / "a backup"
    done, calls = run_with_docker(tmp_path, docker, HOME / "compose/backup.sh", folder)
    assert (done.returncode == 0) is done_well, done.stderr
    assert sum("signalbox/executor:0.1.0 -C /data -czf - ." in call for call in calls) == 1
    assert {file.name for file in folder.iterdir() if file.suffix != ".new"} == (
        {"files.tar.gz", "database.dump"} if done_well else set()
    )


def test_a_backup_that_is_none_is_refused_before_anything_is_changed(tmp_path: Path) -> None:
    done = subprocess.run(
        [HOME / "compose/restore.sh", tmp_path, "--yes"], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"restore.sh: {tmp_path}/database.dump is missing or empty: name a folder that backup.sh wrote"
    ]


@pytest.mark.parametrize(("module", "code"), [("signalbox_planner", 1), ("signalbox_reprocessor.worker.main", 0)])
def test_a_container_that_serves_nothing_is_healthy(module: str, code: int) -> None:
    """The tools and the workers of reprocessing turned unhealthy after 90 s: nobody answers `/readyz` there."""
    environment = {"SIGNALBOX_MODULE": module, "SIGNALBOX_HTTP_PORT": "9"}
    check = [sys.executable, "-IS", str(HOME / "compose/images/healthcheck.py"), "/readyz"]
    assert subprocess.run(check, env=environment, check=False, capture_output=True).returncode == code
