"""Settings: every problem on its own line, and nothing secret on any."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import Field, SecretStr, ValidationError

from signalbox_chassis.messaging.connection import broker_addresses
from signalbox_chassis.settings import ServiceSettings

GOOD = {
    "SIGNALBOX_KAFKA_BOOTSTRAP": "a.example:9092,b.example:9093",
    "SIGNALBOX_DATABASE_URL": "postgresql://role:hunter%2F2@host:5432/db",
}


class ChannelSettings(ServiceSettings):
    smtp_password: SecretStr = Field(default=SecretStr("swordfish"))
    """Password of the mail server."""
    plain_secret: SecretStr = Field(default=SecretStr(""))
    """Nothing."""


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in [name for name in os.environ if name.startswith("SIGNALBOX_")]:
        monkeypatch.delenv(name)
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def refused(capsys: pytest.CaptureFixture[str], settings: type[ServiceSettings] = ServiceSettings) -> list[str]:
    with pytest.raises(SystemExit) as ended:
        settings.load()
    assert ended.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err.splitlines()


def test_with_the_two_required_ones_the_rest_has_defaults(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("SIGNALBOX_HTTP_PORT", "8080")
    settings = ServiceSettings.load()
    assert (settings.kafka_bootstrap, settings.http_port) == (GOOD["SIGNALBOX_KAFKA_BOOTSTRAP"], 8080)
    assert (settings.topic_prefix, settings.log_level) == ("signalbox.", "INFO")
    assert "hunter" not in repr(settings)
    with pytest.raises(ValidationError):
        settings.http_port = 1  # pyright: ignore[reportAttributeAccessIssue]


def test_each_problem_is_one_line_that_names_its_variable(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.delenv("SIGNALBOX_KAFKA_BOOTSTRAP")
    environment.delenv("SIGNALBOX_DATABASE_URL")
    environment.setenv("SIGNALBOX_HTTP_PORT", "65536")
    environment.setenv("SIGNALBOX_RELAY_BATCH", "many")
    environment.setenv("SIGNALBOX_BLOB_URL", "ftp://x")
    assert refused(capsys) == [
        "SIGNALBOX_KAFKA_BOOTSTRAP: is not set, and has no default",
        "SIGNALBOX_DATABASE_URL: is not set, and has no default",
        "SIGNALBOX_RELAY_BATCH: Input should be a valid integer, unable to parse string as an integer",
        "SIGNALBOX_HTTP_PORT: Input should be less than or equal to 65535",
        "SIGNALBOX_BLOB_URL: must be `file:///…` or `s3://…`",
    ]


@pytest.mark.parametrize(
    "value",
    ["a", "a:b", "a:1,", ":1", "a b:1", "a:1 ,b:2", "a:123456", "http://a:1", "::1:1", "[::1]", "[::1:1", "[a]:x"],
)
def test_brokers_that_are_no_host_and_port_are_refused(
    value: str, environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.setenv("SIGNALBOX_KAFKA_BOOTSTRAP", value)
    assert refused(capsys) == [
        "SIGNALBOX_KAFKA_BOOTSTRAP: must be `host:port` or `[IPv6 address]:port`, several separated by commas"
    ]


def test_brokers_may_have_ipv6_addresses(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("SIGNALBOX_KAFKA_BOOTSTRAP", "[::1]:9092,[fd00::a]:9093,b:1")
    assert broker_addresses(ServiceSettings.load().kafka_bootstrap) == [("::1", 9092), ("fd00::a", 9093), ("b", 1)]


@pytest.mark.parametrize("value", ["a:0", "a:1,b:65536"])
def test_a_brokers_port_out_of_range_is_refused(
    value: str, environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.setenv("SIGNALBOX_KAFKA_BOOTSTRAP", value)
    assert refused(capsys) == ["SIGNALBOX_KAFKA_BOOTSTRAP: a port must be between 1 and 65535"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("mysql://role:hunter2@host/db", "only postgresql:// is supported"),
        ("postgresql+asyncpg://role:hunter2@host/db", "only postgresql:// is supported"),
        ("hunter2://host/db", "only postgresql:// is supported"),
        ("role:hunter2@host/db", "is not an address"),
        ("hunter2", "is not an address"),
        ("postgresql", "is not an address"),
        ("postgresql://role:hunter2@host:port/db", "its port is no number"),
        ("postgresql://role:pass/hunter2@host:5432/db", "its port is no number"),
        ("postgresql://role:hunter2@host:0/db", "its port must be between 1 and 65535"),
    ],
)
def test_a_wrong_database_address_is_refused_without_repeating_any_of_it(
    value: str, message: str, environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What stands where the scheme should be may be the password."""
    environment.setenv("SIGNALBOX_DATABASE_URL", value)
    (line,) = refused(capsys)
    assert line.startswith(f"SIGNALBOX_DATABASE_URL: {message}")
    assert "hunter2" not in line


def test_no_wrong_value_is_repeated_not_even_of_a_services_own_settings(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Strict(ServiceSettings):
        api_key: SecretStr = Field(max_length=5)
        """A key."""
        name_pattern: str = Field(default="", pattern="^a*$", json_schema_extra={"allowed": "the letter a"})
        """A pattern of its own."""

    environment.setenv("SIGNALBOX_API_KEY", "hunter22222")
    environment.setenv("SIGNALBOX_NAME_PATTERN", "swordfish")
    lines = refused(capsys, Strict)
    assert lines[1] == "SIGNALBOX_NAME_PATTERN: must be the letter a"
    assert lines[0].startswith("SIGNALBOX_API_KEY: ")
    assert not [line for line in lines if "hunter" in line or "swordfish" in line]


def test_every_secret_and_the_password_inside_an_address_is_named_for_the_logs(environment: pytest.MonkeyPatch) -> None:
    settings = ChannelSettings.load()
    assert set(settings.secrets()) == {GOOD["SIGNALBOX_DATABASE_URL"], "hunter%2F2", "hunter/2", "swordfish", ""}


def test_a_process_with_wrong_settings_ends_with_2_and_a_line_for_each_and_no_traceback() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SIGNALBOX_")}
    ended = subprocess.run(
        [sys.executable, "-c", "from signalbox_chassis.settings import ServiceSettings; ServiceSettings.load()"],
        env={**environment, "SIGNALBOX_DATABASE_URL": "mysql://role:hunter2@host/db", "SIGNALBOX_HTTP_PORT": "x"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    lines = ended.stderr.splitlines()
    assert (ended.returncode, ended.stdout, len(lines)) == (2, "", 3)
    assert [line.partition(":")[0] for line in lines] == [
        "SIGNALBOX_KAFKA_BOOTSTRAP", "SIGNALBOX_DATABASE_URL", "SIGNALBOX_HTTP_PORT",
    ]  # fmt: skip
    assert "hunter2" not in ended.stderr


def test_a_file_holds_a_setting_instead_of_its_variable(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql://role:from-a-file@host:5432/db\n")
    environment.delenv("SIGNALBOX_DATABASE_URL")
    environment.setenv("SIGNALBOX_DATABASE_URL_FILE", str(tmp_path / "url"))
    assert ServiceSettings.load().database_url.get_secret_value() == "postgresql://role:from-a-file@host:5432/db"


def test_a_file_that_cannot_be_used_is_one_line_that_names_it_and_no_value(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "big").write_text("x" * 70_000)
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    environment.setenv("SIGNALBOX_DATABASE_URL_FILE", str(tmp_path / "empty"))
    environment.setenv("SIGNALBOX_DATABASE_SCHEMA_FILE", str(tmp_path / "none"))
    environment.setenv("SIGNALBOX_TOPIC_PREFIX_FILE", str(tmp_path / "empty"))
    environment.setenv("SIGNALBOX_GROUP_PREFIX_FILE", str(tmp_path / "big"))
    environment.setenv("SIGNALBOX_OTLP_ENDPOINT_FILE", str(tmp_path / "bytes"))
    assert refused(capsys) == [
        "SIGNALBOX_DATABASE_URL_FILE: SIGNALBOX_DATABASE_URL is set too; unset one of them",
        f"SIGNALBOX_DATABASE_SCHEMA_FILE: {tmp_path}/none cannot be read: No such file or directory",
        f"SIGNALBOX_TOPIC_PREFIX_FILE: {tmp_path}/empty is empty",
        f"SIGNALBOX_GROUP_PREFIX_FILE: {tmp_path}/big holds more than 65536 bytes",
        f"SIGNALBOX_OTLP_ENDPOINT_FILE: {tmp_path}/bytes is no text in UTF-8",
    ]
