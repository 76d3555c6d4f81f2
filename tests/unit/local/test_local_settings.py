"""What the environment may say to the local stack."""

from pathlib import Path

import pytest

from signalbox_local.errors import SettingWrong
from signalbox_local.settings import load


def test_what_runs_lies_under_the_checkout_and_what_is_fetched_in_the_users_cache(
    tmp_path: Path,
) -> None:
    (tmp_path / "compose" / "local").mkdir(parents=True)
    (tmp_path / "compose" / "local" / "pyproject.toml").touch()
    settings = load({"XDG_CACHE_HOME": str(tmp_path / "c")}, start=tmp_path / "compose")
    assert settings.stack == tmp_path.resolve() / ".local" / "stack"
    assert settings.cache == tmp_path / "c" / "signalbox"
    assert load({}).cache == Path.home() / ".cache" / "signalbox"
    assert settings.given == {}


def test_what_runs_and_what_was_fetched_move_apart(tmp_path: Path) -> None:
    settings = load({"SIGNALBOX_LOCAL_STACK": str(tmp_path / "b"), "SIGNALBOX_CACHE": str(tmp_path / "c")})
    assert (settings.cache, settings.stack) == (tmp_path / "c", tmp_path / "b")


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
