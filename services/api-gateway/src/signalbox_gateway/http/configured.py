"""Parts that an operator may leave out. Where one is needed, the answer is 501 `not-configured`; nobody repeats it."""

from typing import Any, Final

from signalbox_chassis.blobs import Blobs
from signalbox_chassis.security.vault import Vault
from signalbox_gateway.http.dependencies import Dependencies
from signalbox_gateway.http.problems import Problem

NOT_CONFIGURED: Final[dict[int | str, dict[str, Any]]] = {501: {}}
"""For `responses` of a route that needs one."""


def blob_store(deps: Dependencies) -> Blobs:
    if deps.blobs is None:
        raise Problem("not-configured", "the gateway has no blob store: SIGNALBOX_BLOB_URL is empty")
    return deps.blobs


def vault(deps: Dependencies) -> Vault:
    if deps.vault is None:
        words = "no secrets can be kept here: set SIGNALBOX_SECRETS_URL and SIGNALBOX_SECRET_KEY"
        raise Problem("not-configured", words)
    return deps.vault
