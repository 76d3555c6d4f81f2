"""Names of accounts that stand for something else."""

from typing import Final

RESERVED: Final = frozenset({"anonymous", "registration", "signalbox", "system", "environment", "openid"})
"""Nobody is called so: they are shown as actors."""
