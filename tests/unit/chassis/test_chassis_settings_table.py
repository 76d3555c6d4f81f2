"""The table of settings says what the classes say."""

import re
from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field, SecretStr

from signalbox_chassis.settings import ServiceSettings, allowed
from signalbox_chassis.settings_table import SettingsUnusable, document, settings_classes
from signalbox_contracts.services import ServiceSpec, ServiceUnusable


class ExampleSettings(ServiceSettings):
    http_port: int = Field(default=8080, ge=0, le=65535)
    """Port of the API, with a default of its own."""
    mail_password: SecretStr = SecretStr("swordfish")
    """Password of the mail server."""
    api_key: SecretStr
    """Key of the other side."""
    max_bytes: int = Field(default=67108864, gt=0)
    """Most bytes; `a|b` splits
    over two lines."""
    mode: Literal["fast", "safe"] = "safe"
    """How."""
    enabled: bool = False
    """Whether."""
    region: str | None = Field(default=None, max_length=20, pattern="^[a-z]*$", json_schema_extra=allowed("letters"))
    """Where."""


class Undocumented(ServiceSettings):
    mystery: int = 5


class Wordless(ServiceSettings):
    code: str = Field(default="", pattern="^[a-z]*$")
    """A code."""


def spec(name: str, settings: str) -> ServiceSpec:
    return ServiceSpec(
        name=name, package="no", app="no:no", settings=f"{__name__}:{settings}", migrations=Path(), consumers={}
    )


def rows(text: str) -> dict[str, list[str]]:
    cells = [re.split(r"(?<!\\) ?\| ?", line)[1:-1] for line in text.splitlines() if line.startswith("| `")]
    assert all(len(row) == 5 for row in cells)
    return {row[0].strip("`"): row[1:] for row in cells}


def test_every_setting_has_a_row_with_its_range_default_and_meaning() -> None:
    found = rows(document({}))
    assert set(found) == {f"SIGNALBOX_{name.upper()}" for name in ServiceSettings.model_fields}
    assert found["SIGNALBOX_HTTP_PORT"][:3] == ["whole number", "`0`", "0 to 65535"]
    assert found["SIGNALBOX_RETRY_SECONDS"][:3] == ["number", "`30`", "0.1 to 120"]
    assert found["SIGNALBOX_DATABASE_URL"][:3] == ["secret", "**required**", "`postgresql://…`"]
    assert found["SIGNALBOX_LOG_LEVEL"][:3] == ["one of", "`INFO`", "`DEBUG`, `INFO`, `WARNING`, `ERROR`"]


def test_a_service_lists_what_is_its_own_or_differs() -> None:
    text = document(settings_classes([spec("example", "ExampleSettings"), spec("aaa", "ServiceSettings")]))
    assert text.index("## aaa") < text.index("## example")
    assert "## aaa\n\nNothing of its own." in text
    assert rows(text.partition("## example")[2]) == {
        "SIGNALBOX_HTTP_PORT": ["whole number", "`8080`", "0 to 65535", "Port of the API, with a default of its own."],
        "SIGNALBOX_MAIL_PASSWORD": ["secret", "hidden", "", "Password of the mail server."],
        "SIGNALBOX_API_KEY": ["secret", "**required**", "", "Key of the other side."],
        "SIGNALBOX_MAX_BYTES": [
            "whole number", "`67108864`", "more than 0", "Most bytes; `a\\|b` splits over two lines.",
        ],
        "SIGNALBOX_MODE": ["one of", "`safe`", "`fast`, `safe`", "How."],
        "SIGNALBOX_ENABLED": ["true or false", "`false`", "", "Whether."],
        "SIGNALBOX_REGION": ["text", "empty", "letters, up to 20 characters", "Where."],
    }  # fmt: skip
    assert "swordfish" not in text


def test_a_declaration_without_a_settings_class_is_named() -> None:
    with pytest.raises(ServiceUnusable, match=r"gone: .*:NoSuchClass cannot be loaded: AttributeError"):
        settings_classes([spec("gone", "NoSuchClass")])
    with pytest.raises(SettingsUnusable, match=r"odd: .* is no subclass of ServiceSettings"):
        settings_classes([spec("odd", "spec")])


def test_a_field_without_docstring_or_a_pattern_without_words_is_refused() -> None:
    with pytest.raises(SettingsUnusable, match="SIGNALBOX_MYSTERY has no docstring"):
        document({"x": Undocumented})
    with pytest.raises(SettingsUnusable, match="SIGNALBOX_CODE has a pattern, but does not say in words"):
        document({"x": Wordless})
