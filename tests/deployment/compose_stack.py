"""The stack of `compose/compose.yaml` under a project name of its own, with secrets and volumes of its own."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deployment import stand_ins
from deployment.docker import Docker
from signalbox_local.ports import free_ports

HOME: Final = Path(__file__).parents[2]
FILE: Final = HOME / "compose/compose.yaml"
SECURE_FILE: Final = HOME / "compose/secure.yaml"
TOKEN: Final = re.compile(r"\bsbt_\w+_[\w-]+")
BUILD_SECONDS: Final = 2400
UP_SECONDS: Final = 600


def version() -> str:
    """The version of this checkout, which is the tag of its images."""
    found = re.search(r'^version = "(.+)"', (HOME / "pyproject.toml").read_text(), re.MULTILINE)
    assert found
    return found[1]


def build(docker: Docker, *images: str) -> str:
    """Build the images with the script that is shipped; what it printed."""
    script = HOME / "compose/images/build.sh"
    variables = docker.variables({"NGINX_IMAGE": stand_ins.NAMES["nginx"]})
    done = subprocess.run(
        [script, *images], env=variables, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
    )
    if done.returncode:
        raise AssertionError(f"build.sh: {done.stderr[-3000:]}")
    return done.stdout


@dataclass
class ComposeStack:
    """One project of docker compose."""

    docker: Docker
    project: str
    folder: Path
    port: int = 0
    secure: bool = False
    """With compose/secure.yaml: users and TLS."""

    def __post_init__(self) -> None:
        self.port = self.port or free_ports(1)[0]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def secrets(self) -> Path:
        return self.folder / "secrets"

    def script(self, name: str, *arguments: str, check: bool = True) -> str:
        """Run a script of `compose/` on this project; its output and errors."""
        named = {"COMPOSE_PROJECT_NAME": self.project, "COMPOSE_FILE": ":".join(map(str, self.files))}
        environment = self.docker.variables({**self.variables, **named})
        done = subprocess.run(
            [HOME / "compose" / name, *arguments], env=environment, capture_output=True, text=True,
            timeout=UP_SECONDS, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{name}: {done.stderr[-3000:]}"
        return done.stdout + done.stderr

    def make_secrets(self) -> None:
        subprocess.run(
            [HOME / "compose/make-secrets.sh", self.secrets], check=True, capture_output=True, timeout=60,
            env={**os.environ, "SECURE": "yes" if self.secure else "no"},
        )  # fmt: skip

    @property
    def files(self) -> list[Path]:
        return [FILE, SECURE_FILE] if self.secure else [FILE]

    def compose(self, *arguments: str, check: bool = True, seconds: float = UP_SECONDS, **variables: str) -> str:
        """`docker compose …` of this project."""
        files = [word for file in self.files for word in ("-f", str(file))]
        return self.docker.run(
            "compose", "-p", self.project, *files, *arguments, seconds=seconds, check=check,
            **{**self.variables, **variables},
        )  # fmt: skip

    @property
    def variables(self) -> dict[str, str]:
        return {
            "SIGNALBOX_SECRETS": str(self.secrets),
            "SIGNALBOX_PORT": str(self.port),
            **{f"{name.upper()}_IMAGE": tag for name, tag in stand_ins.NAMES.items()},
        }

    def up(self, *profiles: str) -> None:
        """Return when every service is healthy."""
        words = [word for profile in profiles for word in ("--profile", profile)]
        self.compose(*words, "up", "-d", "--wait", "--wait-timeout", str(UP_SECONDS))

    def down(self, *, volumes: bool = False) -> None:
        self.compose("--profile", "*", "down", "-t", "30", *(["-v"] if volumes else []))

    def admin_token(self, name: str = "admin") -> str:
        """A new administrator's token, as `docs/deployment.md` has one made."""
        shown = self.compose("exec", "-T", "api-gateway", "python", "-m", "signalbox_gateway", "admin", "create", name)
        token = TOKEN.search(shown)
        assert token, shown
        return token.group()

    def kill(self, service: str) -> None:
        """kill -9 of every process in the container, from inside: Docker restarts it as after a crash."""
        self.compose("exec", "-T", service, "sh", "-c", "kill -9 -1", check=False)

    def restarts(self, service: str) -> int:
        identity = self.compose("ps", "-q", service).strip()
        return int(self.docker.run("inspect", "-f", "{{.RestartCount}}", identity))

    def demo_database(self) -> str:
        """A database and role for the pipeline's loader; its address inside of the network."""
        for statement in ("CREATE ROLE demo LOGIN PASSWORD 'demo-password'", "CREATE DATABASE demo OWNER demo"):
            self.sql(statement)
        return "postgresql://demo:demo-password@postgres:5432/demo"

    def sql(self, statement: str) -> str:
        """What PostgreSQL answers its administrator, a line for each row, columns between `|`."""
        return self.compose(
            "exec", "-T", "postgres", "sh", "-c",
            'PGPASSWORD="$(cat $POSTGRES_PASSWORD_FILE)" psql -qtA -h 127.0.0.1 -U signalbox -d signalbox -c "$0"',
            statement,
        ).strip()  # fmt: skip

    def memory(self) -> dict[str, str]:
        """Container → the memory that it uses now."""
        shown = self.docker.run("stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}")
        lines = [line.split(maxsplit=1) for line in shown.splitlines() if line.startswith(self.project)]
        return {name.removeprefix(f"{self.project}-"): used.split(" /")[0] for name, used in lines}
