"""The environment, read once. No other module of the local stack reads it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from signalbox_local.errors import SettingWrong

GIVEN = {
    "kafka": "SIGNALBOX_KAFKA_BOOTSTRAP",
    "postgres": "SIGNALBOX_DATABASE_URL",
    "redis": "SIGNALBOX_REDIS_URL",
    "otlp": "SIGNALBOX_OTLP_ENDPOINT",
}
"""Server → the variable that names one to use instead of starting it; also what `signalbox-local env` prints."""

PORTS = {**{name: f"SIGNALBOX_{name.upper()}_PORT" for name in GIVEN}, "api": "SIGNALBOX_PORT"}
"""Server → the variable that insists on its port. `api` is the api-gateway's."""

_SCHEMES = {
    "postgres": ("postgresql", "postgres"),
    "redis": ("redis", "rediss"),
    "otlp": ("http", "https"),
}


@dataclass(frozen=True, slots=True)
class Settings:
    """Where things lie and what to use. Folders are absolute."""

    local: Path
    """SIGNALBOX_LOCAL, default `.local` in the project: all that runs."""
    stack: Path
    """SIGNALBOX_LOCAL_STACK, default `stack` in `local`: data, logs and pid files of the servers."""
    cache: Path
    """SIGNALBOX_CACHE, default `signalbox` in the user's cache folder: what is fetched or built, for all checkouts."""
    java: str | None = None
    """SIGNALBOX_JAVA: a `java` executable, version 17 or newer."""
    postgres_bin: str | None = None
    """SIGNALBOX_POSTGRES_BIN: a folder with `initdb` and `postgres`, version 15 or newer."""
    redis_server: str | None = None
    """SIGNALBOX_REDIS_SERVER: a `redis-server` executable."""
    ports: Mapping[str, int] = field(default_factory=dict[str, int])
    """SIGNALBOX_{KAFKA,POSTGRES,REDIS,OTLP}_PORT and SIGNALBOX_PORT (the API): a port to insist on instead of a free
    one."""
    given: Mapping[str, str] = field(default_factory=dict[str, str])
    """Server → address, for each server that is given and not started."""


def cache_folder(environment: Mapping[str, str] | None = None) -> Path:
    """The folder that every checkout of this user shares. Raises SettingWrong."""
    env = os.environ if environment is None else environment
    named = _folder(env, "SIGNALBOX_CACHE")
    return named or Path(env.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "signalbox"


def project_folder(start: Path) -> Path:
    """The checkout that `start` lies in, or `start` itself outside of one."""
    for folder in (start, *start.parents):
        if (folder / "compose" / "local" / "pyproject.toml").is_file():
            return folder
    return start


def load(environment: Mapping[str, str] | None = None, *, start: Path | None = None) -> Settings:
    """The settings in `environment` (default: the process's own). Raises SettingWrong."""
    env = os.environ if environment is None else environment
    local = _folder(env, "SIGNALBOX_LOCAL") or project_folder((start or Path.cwd()).resolve()) / ".local"
    return Settings(
        local=local,
        stack=_folder(env, "SIGNALBOX_LOCAL_STACK") or local / "stack",
        cache=cache_folder(env),
        java=env.get("SIGNALBOX_JAVA") or None,
        postgres_bin=env.get("SIGNALBOX_POSTGRES_BIN") or None,
        redis_server=env.get("SIGNALBOX_REDIS_SERVER") or None,
        ports={name: port for name, variable in PORTS.items() if (port := _port(env, variable)) is not None},
        given={name: _address(name, variable, env[variable]) for name, variable in GIVEN.items() if env.get(variable)},
    )


def _folder(env: Mapping[str, str], variable: str) -> Path | None:
    text = env.get(variable)
    if not text:
        return None
    folder = Path(text).expanduser().absolute()
    if folder.exists() and not folder.is_dir():
        raise SettingWrong(f"{variable}={text} is not a folder", "name a folder, or unset it")
    return folder


def _port(env: Mapping[str, str], variable: str) -> int | None:
    text = env.get(variable)
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65535:
        raise SettingWrong(f"{variable}={text} is not a port", "a number from 1 to 65535, or unset it for a free one")
    return int(text)


def _address(name: str, variable: str, text: str) -> str:
    if name == "kafka":
        _check_bootstrap(variable, text)
        return text
    schemes = _SCHEMES[name]
    try:
        parts = urlsplit(text)
        good = parts.scheme.split("+")[0] in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        # the value may hold a password: say what is expected, never what was there
        raise SettingWrong(
            f"{variable} is not an address of the form {schemes[0]}://host:port",
            "correct it, or unset it and let the stack start its own",
        )
    return text


def _check_bootstrap(variable: str, text: str) -> None:
    for entry in text.split(","):
        host, _, port = entry.strip().rpartition(":")
        if not host or not port.isdigit() or not 1 <= int(port) <= 65535:
            raise SettingWrong(
                f"{variable}={text}: {entry.strip()!r} is not host:port",
                "list brokers as host:port,host:port, or unset it and let the stack start its own",
            )
