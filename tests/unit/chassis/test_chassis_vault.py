"""Keys and settings of the vault; what is stored is shown in `integration/chassis/test_vault.py`."""

import base64

import pytest
from pydantic import SecretStr, ValidationError

from signalbox_chassis.security.vault import Keys, VaultSettings

ONE, TWO = (base64.b64encode(bytes(range(n, n + 32))).decode() for n in (1, 2))


def settings(secret_key: str = "", secrets_url: str = "") -> VaultSettings:
    return VaultSettings(
        kafka_bootstrap="k:9092",
        database_url=SecretStr("postgresql://h/d"),
        secret_key=SecretStr(secret_key),
        secrets_url=SecretStr(secrets_url),
    )


def test_the_first_key_wraps_and_each_unwraps() -> None:
    old, both = Keys(ONE), Keys(f"{TWO}, {ONE}")
    wrapped = old.wrap(b"data key", b"about")
    assert both.newest != old.newest
    assert both.unwrap("s", old.newest, wrapped, b"about") == b"data key"


@pytest.mark.parametrize("text", ["", ",", "not base64!", base64.b64encode(b"short").decode(), "A" * 43 + "="])
def test_a_key_that_is_none_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="key") as refused:
        Keys(text)
    assert text.strip(",") == "" or text not in str(refused.value)


def test_a_wrong_key_in_the_settings_is_refused_and_hidden() -> None:
    with pytest.raises(ValidationError, match="a key is not base64") as refused:
        settings(secret_key="my-own-secret!")
    assert "my-own-secret" not in str(refused.value)


def test_without_key_or_address_there_is_no_vault() -> None:
    assert settings().vault() is None
    assert settings(secret_key=ONE).vault() is None


def test_neither_keys_nor_settings_show_a_key() -> None:
    made = settings(secret_key=f"{ONE},{TWO}", secrets_url="postgresql://r:pw-of-role@h/d")
    shown = repr(made) + repr(made.vault()) + repr(Keys(ONE))
    assert not any(hidden in shown for hidden in (ONE, TWO, "pw-of-role"))
    assert {ONE, TWO, "pw-of-role"} <= set(made.secrets())
