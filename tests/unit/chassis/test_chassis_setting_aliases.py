"""The environment of another system serves as it is: its names for the database, Redis and the secret key."""

import os

import pytest

from signalbox_chassis.persistence.provision import ProvisionSettings
from signalbox_chassis.security.vault import VaultSettings
from signalbox_gateway.settings import GatewaySettings
from signalbox_notifier.settings import NotifierSettings

SECRET = "an arbitrary text, long enough"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in list(os.environ):
        if name.startswith(("SIGNALBOX_", "POSTGRES_", "REDIS_")) or name in ("DATABASE_URL", "SECRET_KEY", "PORT"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SIGNALBOX_KAFKA_BOOTSTRAP", "kafka:9092")
    monkeypatch.setenv("SIGNALBOX_DATABASE_URL", "postgresql://role:word@host/db")
    return monkeypatch


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"DATABASE_URL": "postgresql://admin:a@db:5433/x"}, "postgresql://admin:a@db:5433/x"),
        (
            {"POSTGRES_SERVER": "db", "POSTGRES_USER": "sv ops", "POSTGRES_PASSWORD": "p@ss/w:rd", "POSTGRES_DB": "d"},
            "postgresql://sv%20ops:p%40ss%2Fw%3Ard@db/d",
        ),
        ({"POSTGRES_SERVER": "db:5433", "POSTGRES_USER": "svops"}, "postgresql://svops@db:5433/svops"),
    ],
)
def test_the_administrators_database_is_found_under_other_names(
    environment: pytest.MonkeyPatch, variables: dict[str, str], expected: str
) -> None:
    for name, value in variables.items():
        environment.setenv(name, value)
    assert ProvisionSettings.load().database_url.get_secret_value() == "postgresql://role:word@host/db", "ours first"
    environment.delenv("SIGNALBOX_DATABASE_URL")
    settings = ProvisionSettings.load()
    assert settings.database_url.get_secret_value() == expected
    password = variables.get("POSTGRES_PASSWORD")
    assert password is None or password in set(settings.secrets())


def test_a_service_never_takes_the_administrators_database(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("DATABASE_URL", "postgresql://admin:a@db:5433/x")
    environment.delenv("SIGNALBOX_DATABASE_URL")
    with pytest.raises(SystemExit):
        GatewaySettings.load()


def test_redis_is_found_by_host_and_port(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("REDIS_HOST", "cache")
    for settings in (GatewaySettings, NotifierSettings):
        assert settings.load().redis_url.get_secret_value() == "redis://cache:6379/0"
    environment.setenv("REDIS_PORT", "7000")
    assert GatewaySettings.load().redis_url.get_secret_value() == "redis://cache:7000/0"
    environment.setenv("REDIS_URL", "redis://other:1/0")
    assert GatewaySettings.load().redis_url.get_secret_value() == "redis://other:1/0"


def test_the_secret_key_is_derived_and_neither_text_nor_key_is_shown(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("SECRET_KEY", SECRET)
    settings, again = VaultSettings.load(), VaultSettings.load()
    key = settings.secret_key.get_secret_value()
    assert len(key) == 44
    assert key == again.secret_key.get_secret_value(), "every service derives the same"
    assert {SECRET, key} <= set(settings.secrets())
    environment.setenv("SECRET_KEY", SECRET + "!")
    assert VaultSettings.load().secret_key.get_secret_value() != key


@pytest.mark.parametrize(
    ("variables", "line"),
    [
        ({"SECRET_KEY": "your-secret-key"}, "SECRET_KEY: has 15 characters; 16 or more are needed, random ones"),
        ({"REDIS_HOST": "h", "REDIS_PORT": "65536"}, "REDIS_PORT: must be a number from 1 to 65535"),
        ({"REDIS_HOST": "h", "REDIS_PORT": "٣"}, "REDIS_PORT: must be a number from 1 to 65535"),
    ],
)
def test_nonsense_is_one_line(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variables: dict[str, str], line: str
) -> None:
    for name, value in variables.items():
        environment.setenv(name, value)
    with pytest.raises(SystemExit):
        GatewaySettings.load()
    assert capsys.readouterr().err.splitlines() == [line]
