"""Callers without a token, where the operator allows them: on this machine alone, and not from a browser's other pages.

A page of any site that a browser on this machine shows can send requests to loopback addresses. They carry its
`Origin`, or a foreign `Host` when its name was made to lead here; neither is let in.
"""

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

NAME: Final = "anonymous"


def is_loopback(host: str) -> bool:
    """Whether a listener on this host is reached from this machine alone."""
    name = host.strip("[]").lower()
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def is_local_call(headers: Mapping[str, str]) -> bool:
    """Whether a request was made here by a program, or by a page of this very API."""
    if not is_loopback(urlsplit(f"//{headers.get('host', '')}").hostname or ""):
        return False
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != headers.get("host"):
        return False
    return headers.get("sec-fetch-site", "none") in ("none", "same-origin")
