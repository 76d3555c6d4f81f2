"""Health checks that talk to the servers in their own protocols, without their clients."""

import socket
import ssl
import struct
from collections.abc import Callable
from urllib.parse import unquote, urlsplit
from urllib.request import urlopen

SECONDS = 1.0


def tcp(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), SECONDS).close()
    except OSError:
        return False
    return True


def kafka(host: str, port: int) -> bool:
    """Whether a broker answers an ApiVersions request (version 0) without an error."""
    # api key 18, api version 0, correlation id 1, client id "probe"
    request = struct.pack(">hhih5s", 18, 0, 1, 5, b"probe")
    answer = _exchange(host, port, struct.pack(">i", len(request)) + request, lambda got: 4 + _integer(got[:4]))
    # size, correlation id, error code
    return len(answer) >= 10 and struct.unpack(">iih", answer[:10])[1:] == (1, 0)


def postgres(host: str, port: int) -> bool:
    """Whether the server takes logins, as pg_isready sees it.

    The startup packet is answered by `R` (prove who you are) when it does, by `E` (57P03) while it starts, recovers or
    stops. Going away at that point leaves no line in its log, if the answer was read to its end.
    """
    words = b"user\0postgres\0database\0postgres\0\0"
    request = struct.pack(">ii", len(words) + 8, 3 << 16) + words
    return _exchange(host, port, request, lambda got: 1 + _integer(got[1:5])).startswith(b"R")


def any_postgres(url: str) -> bool:
    """Whether something that speaks PostgreSQL's protocol is at `url` (TLS or not): the answer to an SSLRequest."""
    parts = urlsplit(url)
    request = struct.pack(">ii", 8, 80877103)
    return _exchange(parts.hostname or "", parts.port or 5432, request, lambda _: 1) in (b"S", b"N")


def redis(url: str) -> bool:
    """Whether the server at `url` answers PING after AUTH with the user and password of the URL."""
    parts = urlsplit(url)
    words = [b"PING"]
    request = _redis_command(*words)
    if parts.password:
        user = [unquote(parts.username).encode()] if parts.username else []
        request = _redis_command(b"AUTH", *user, unquote(parts.password).encode()) + request
    expected = b"+OK\r\n+PONG\r\n" if parts.password else b"+PONG\r\n"
    host, port = parts.hostname or "", parts.port or 6379
    return _exchange(host, port, request, lambda _: len(expected), tls=parts.scheme == "rediss") == expected


def _redis_command(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def http(url: str) -> bool:
    try:
        with urlopen(url, timeout=SECONDS) as answer:
            return answer.status == 200
    except (OSError, ValueError):
        return False


def _integer(four: bytes) -> int:
    return struct.unpack(">i", four)[0] if len(four) == 4 else 4


def _exchange(host: str, port: int, request: bytes, size: Callable[[bytes], int], *, tls: bool = False) -> bytes:
    """Send `request`, return the answer; empty when nobody answers in time.

    `size` says from the first bytes of an answer how long it is; more than 64 KiB is never read.
    """
    answer = b""
    try:
        with socket.create_connection((host, port), SECONDS) as plain:
            plain.settimeout(SECONDS)
            stream = ssl.create_default_context().wrap_socket(plain, server_hostname=host) if tls else plain
            with stream:
                stream.sendall(request)
                while len(answer) < min(size(answer), 65536) and (more := stream.recv(size(answer) - len(answer))):
                    answer += more
    except OSError:
        return b""
    return answer
