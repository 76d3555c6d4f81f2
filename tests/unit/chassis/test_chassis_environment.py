"""Secrets are gone from the environment of a process, also from what Linux shows of it."""

import subprocess
import sys

PROGRAM = """
import os, sys
from pathlib import Path
from signalbox_chassis.security.environment import forget_secrets
before = Path("/proc/self/environ").read_bytes()
assert b"postgresql://r:pass-word@h/d" in before and b"key-of-keys" in before
names = forget_secrets(["pass-word", "key-of-keys", "x"])
after = Path("/proc/self/environ").read_bytes()
assert b"pass-word" not in after and b"key-of-keys" not in after, after
assert b"of-others" not in after and b"HTTPS_PROXY=http://a:stays@h/" in after
assert b"SIGNALBOX_OTHER=stays-x" in after
assert os.environ.get("SIGNALBOX_DATABASE_URL") is None and os.environ["SIGNALBOX_OTHER"] == "stays-x"
print(*names)
"""


def test_a_secret_is_gone_from_the_environment_and_the_rest_stays() -> None:
    """Without it any process of the same user reads the key of all secrets."""
    environment = {
        "SIGNALBOX_DATABASE_URL": "postgresql://r:pass-word@h/d", "SIGNALBOX_SECRET_KEY": "key-of-keys",
        "SIGNALBOX_OTHER": "stays-x", "SIGNALBOX_REDIS_URL": "redis://:of-others@h/0",
        "HTTPS_PROXY": "http://a:stays@h/",
    }  # fmt: skip
    ended = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)
    assert ended.stdout.split() == [
        "SIGNALBOX_DATABASE_URL", "SIGNALBOX_REDIS_URL", "SIGNALBOX_SECRET_KEY",
    ]  # fmt: skip
