"""Settings under the names that other systems give them, for who moves here with an environment of theirs.

An alias counts only where neither `SIGNALBOX_<FIELD>` nor `SIGNALBOX_<FIELD>_FILE` is set. Each takes the environment
and gives the setting's value, or an empty string where its variables are not set. ValueError says what is wrong with
one, by the variable's name and without its value.
"""

import base64
import hashlib
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import quote

Alias = Callable[[Mapping[str, str]], str]
SECRET_VARIABLES: Final = ("SECRET_KEY", "POSTGRES_PASSWORD")
"""Variables whose value never becomes a setting as it is, and must leave the environment all the same."""
SHORTEST_KEY: Final = 16
_SALT: Final = b"signalbox key-encryption key"


def secret_key(environment: Mapping[str, str]) -> str:
    """`SECRET_KEY`, a text of 16 characters or more: the key-encryption key is derived from it with scrypt."""
    text = environment.get("SECRET_KEY", "")
    if not text:
        return ""
    if len(text) < SHORTEST_KEY:
        raise ValueError(f"SECRET_KEY: has {len(text)} characters; {SHORTEST_KEY} or more are needed, random ones")
    key = hashlib.scrypt(text.encode(), salt=_SALT, n=2**15, r=8, p=1, maxmem=2**26, dklen=32)
    return base64.b64encode(key).decode()


def administrator_url(environment: Mapping[str, str]) -> str:
    """`DATABASE_URL`, or `POSTGRES_SERVER` (host or `host:port`) with `POSTGRES_USER`, `_PASSWORD` and `_DB`."""
    if url := environment.get("DATABASE_URL", ""):
        return url
    server = environment.get("POSTGRES_SERVER", "")
    if not server:
        return ""
    user, database = environment.get("POSTGRES_USER", ""), environment.get("POSTGRES_DB", "")
    if not user:
        raise ValueError("POSTGRES_USER: is not set, and POSTGRES_SERVER is")
    password = quote(environment.get("POSTGRES_PASSWORD", ""), safe="")
    who = quote(user, safe="") + (f":{password}" if password else "")
    return f"postgresql://{who}@{server}/{quote(database or user, safe='')}"


def redis_url(environment: Mapping[str, str]) -> str:
    """`REDIS_HOST`, with `REDIS_PORT`, 6379 where that is not set."""
    host, port = environment.get("REDIS_HOST", ""), environment.get("REDIS_PORT", "") or "6379"
    if not host or environment.get("REDIS_URL"):
        return ""
    if not (port.isascii() and port.isdecimal() and 1 <= int(port[:6]) <= 65535):
        raise ValueError("REDIS_PORT: must be a number from 1 to 65535")
    return f"redis://{host}:{port}/0"
