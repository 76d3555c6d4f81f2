"""The address at which an engine reports one run is good for that run alone."""

import base64
import os

from signalbox_chassis.security.run_hints import PATH, hint_keys, hint_url, is_hint

KEY = "sb-00000000-0000-0000-0000-000000000001-1"


def key() -> str:
    return base64.b64encode(os.urandom(32)).decode()


def test_an_address_is_good_for_its_own_engine_and_run_alone() -> None:
    keys = hint_keys(key())
    url = hint_url(keys, "https://signalbox:8000/base/", "oozie-prod", KEY)
    place, _, token = url.rpartition("/")
    assert place == f"https://signalbox:8000/base{PATH}/oozie-prod/{KEY}"
    assert is_hint(keys, "oozie-prod", KEY, token)
    for engine, run, given in (
        ("other", KEY, token),
        ("oozie-prod", KEY[:-1] + "2", token),
        ("oozie-prod", KEY, token[:-1]),
        ("oozie-prod", KEY, ""),
        ("oozie-prod", KEY, "é" * len(token)),
    ):
        assert not is_hint(keys, engine, run, given)


def test_an_older_key_is_still_good_and_without_a_key_nothing_is() -> None:
    old, new = key(), key()
    token = hint_url(hint_keys(old), "http://a", "e", KEY).rpartition("/")[2]
    assert is_hint(hint_keys(f"{new},{old}"), "e", KEY, token)
    assert not is_hint(hint_keys(new), "e", KEY, token)
    assert not is_hint(hint_keys(""), "e", KEY, token)
