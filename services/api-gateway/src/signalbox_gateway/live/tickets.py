"""Tickets: a browser cannot send `Authorization` with a WebSocket, and no token belongs into a URL."""

import hashlib
import os
import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

TICKET_SECONDS: Final = 30.0
_NONCE_BYTES: Final = 12


def new_ticket() -> str:
    """32 random bytes as text."""
    return secrets.token_urlsafe(32)


def ticket_hash(ticket: str) -> bytes:
    """Under what a ticket is kept."""
    return hashlib.sha256(ticket.encode()).digest()


def seal(ticket: str, credential: str) -> bytes:
    """The credential, readable with the ticket alone."""
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(_key(ticket)).encrypt(nonce, credential.encode(), None)


def unseal(ticket: str, sealed: bytes) -> str | None:
    """What was sealed with this ticket; None for another ticket."""
    try:
        return AESGCM(_key(ticket)).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], None).decode()
    except InvalidTag:
        return None


def _key(ticket: str) -> bytes:
    return hashlib.sha256(b"credential of " + ticket.encode()).digest()
