"""Passwords: which are allowed, and argon2id behind a bound, so that logins never take the processor from others."""

import asyncio
import functools
import itertools
import re
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

T = TypeVar("T")
MIN_CHARACTERS: Final = 10
MAX_CHARACTERS: Final = 64
MAX_WAITING: Final = 32
"""Hashes that wait for their turn; more are refused at once."""
_LEET: Final = str.maketrans("013457@$!|", "oleastasil")
_WORDS: Final = """
password passwort admin administrator root toor welcome letmein qwerty qwertz qwertyuiop asdfgh asdfghjkl
zxcvbn zxcvbnm iloveyou monkey dragon master superman batman football baseball basketball sunshine princess shadow
michael jordan harley ranger hunter buster soccer hockey killer george andrew charlie thomas jessica pepper daniel
access mustang starwars trustno login abc abcdef abcdefg abcdefgh secret changeme change default guest test testing
user temp hello whatever freedom computer internet samsung google facebook linkedin pokemon naruto donald flower
lovely ashley nicole chelsea liverpool arsenal passw pass pwd signalbox oozie airflow flink spark kubernetes postgres
kafka redis summer winter spring autumn monday january
"""
_COMMON: Final = frozenset(_WORDS.split())
_KEYBOARD: Final = ("qwertyuiop", "qwertzuiop", "asdfghjkl", "zxcvbnm", "abcdefghijklmnopqrstuvwxyz", "01234567890")


class Busy(Exception):
    """Too many passwords are being checked."""


def wrong_with(password: str, *, username: str = "", email: str = "") -> str | None:
    """Why a password is not allowed, in words for the person; None for a good one."""
    if len(password) > MAX_CHARACTERS:
        return f"at most {MAX_CHARACTERS} characters are allowed"
    if len(password) < MIN_CHARACTERS:
        return f"at least {MIN_CHARACTERS} characters are needed"
    if any(unicodedata.category(one) in ("Cc", "Cs", "Cn") for one in password):
        return "control characters are not allowed"
    if len(set(password.lower())) < 5:
        return "at least 5 different characters are needed"
    plain = password.lower().translate(_LEET)
    bare = re.sub(r"^[^a-z]+|[^a-z]+$", "", password.lower()).translate(_LEET)
    if _is_common(plain) or _is_common(bare) or _is_common(password.lower()):
        return "it is among those that attackers try first: a few unrelated words are better"
    if _is_sequence(password.lower()):
        return "it follows the keyboard, the alphabet or the numbers: a few unrelated words are better"
    for name in (username, *email.partition("@")[::2]):
        if len(name) >= 3 and name.lower().translate(_LEET) in plain:
            return "it must not contain the username or the email address"
    return None


def _is_common(password: str) -> bool:
    bare = re.sub(r"[^a-z]+", "", password)
    if len(bare) < 3:
        return True  # hardly more than digits
    base = re.sub(r"^(.{2,}?)\1+$", r"\1", bare)
    halves = ((base[:at], base[at:]) for at in range(3, len(base) - 2))
    return base in _COMMON or any(first in _COMMON and second in _COMMON for first, second in halves)


def _is_sequence(password: str) -> bool:
    runs = 0
    for first, second in itertools.pairwise(password):
        runs += any(first + second in row or second + first in row for row in _KEYBOARD)
    return runs >= (len(password) - 1) * 0.75


class Hasher:
    """Makes and checks hashes of passwords in threads of its own; `concurrency` of them work at once."""

    def __init__(self, concurrency: int) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="password")
        self._waiting = 0
        self._dummy = ""

    async def hash(self, password: str) -> str:
        """Raises `Busy`."""
        return await self._run(functools.partial(self._hasher.hash, _normal(password)))

    async def verify(self, password: str, hashed: str | None) -> bool:
        """Whether it is the password of this hash. None takes as long, and is false. Raises `Busy`."""
        return await self._run(functools.partial(self._verify, password, hashed))

    def is_outdated(self, hashed: str) -> bool:
        """Whether the hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(hashed)

    async def start(self) -> None:
        """Nothing: threads begin with the first password."""

    async def stop(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _verify(self, password: str, hashed: str | None) -> bool:
        if hashed is None:
            if not self._dummy:
                self._dummy = self._hasher.hash("nobody has this one")
            hashed, password = self._dummy, ""
        try:
            return self._hasher.verify(hashed, _normal(password))
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], T]) -> T:
        if self._waiting >= MAX_WAITING:
            raise Busy
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1


def _normal(password: str) -> str:
    """The same password typed on another keyboard or system is the same text."""
    return unicodedata.normalize("NFKC", password)
