"""What the environment may say to the local stack."""

from pathlib import Path

import pytest

from signalbox_local.errors import SettingWrong
from signalbox_local.settings import load


def test_without_variables_everything_lies_under_the_checkout(tmp_path: Path) -> None:
    (tmp_path / "compose" / "local").mkdir(parents=True)
    (tmp_path / "compose" / "local" / "pyproject.toml").touch()
    settings = load({}, start=tmp_path / "compose")
    assert settings.stack == tmp_path.resolve() / ".local" / "stack"
    assert settings.fetched == tmp_path.resolve() / ".local" / "fetched"
    assert settings.given == {}


def test_the_state_folder_moves_without_moving_what_was_fetched(tmp_path: Path) -> None:
    settings = load({"SIGNALBOX_LOCAL": str(tmp_path / "a"), "SIGNALBOX_LOCAL_STACK": str(tmp_path / "b")})
    assert (settings.fetched, settings.stack) == (tmp_path / "a" / "fetched", tmp_path / "b")


def test_an_empty_variable_counts_as_unset() -> None:
    assert load({"SIGNALBOX_JAVA": "", "SIGNALBOX_KAFKA_BOOTSTRAP": "", "SIGNALBOX_REDIS_PORT": ""}).given == {}


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SIGNALBOX_KAFKA_BOOTSTRAP", "kafka"),
        ("SIGNALBOX_KAFKA_BOOTSTRAP", "a:9092,b"),
        ("SIGNALBOX_KAFKA_BOOTSTRAP", "a:99999"),
        ("SIGNALBOX_DATABASE_URL", "mysql://root@db/x"),
        ("SIGNALBOX_DATABASE_URL", "postgresql:///nohost"),
        ("SIGNALBOX_REDIS_URL", "http://redis:6379"),
        ("SIGNALBOX_REDIS_URL", "redis://redis:notaport"),
        ("SIGNALBOX_POSTGRES_PORT", "0"),
        ("SIGNALBOX_POSTGRES_PORT", "70000"),
        ("SIGNALBOX_OTLP_PORT", "http"),
    ],
)
def test_nonsense_is_refused_by_name_and_with_advice(variable: str, value: str) -> None:
    with pytest.raises(SettingWrong) as refused:
        load({variable: value})
    assert variable in refused.value.what
    assert refused.value.advice
    assert refused.value.exit_code == 2


def test_a_password_in_a_wrong_address_is_never_shown() -> None:
    with pytest.raises(SettingWrong) as refused:
        load({"SIGNALBOX_DATABASE_URL": "mysql://root:hunter2@db/x"})
    assert "hunter2" not in str(refused.value)


def test_a_file_is_not_taken_for_a_folder(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(SettingWrong, match="is not a folder"):
        load({"SIGNALBOX_LOCAL": str(file)})
