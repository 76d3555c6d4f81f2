"""Everything about identity that the gateway holds in one place: made in `app`, used by routes and the access check."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from signalbox_chassis.persistence.database import Database
from signalbox_gateway.http.addresses import Network, networks
from signalbox_gateway.identity.access_tokens import AccessTokens
from signalbox_gateway.identity.authentication import Authentication
from signalbox_gateway.identity.logins import Logins
from signalbox_gateway.identity.oidc.pending import PendingLogins
from signalbox_gateway.identity.oidc.provider import OidcProvider
from signalbox_gateway.identity.passwords import Hasher
from signalbox_gateway.identity.rate_limits import Counter, RateLimits
from signalbox_gateway.identity.signing import SigningKeys
from signalbox_gateway.settings import GatewaySettings
from signalbox_gateway.store import oidc_logins, sessions


@dataclass(frozen=True, slots=True)
class Identity:
    """Accounts, sessions and keys of one gateway."""

    database: Database
    keys: SigningKeys
    hasher: Hasher
    authentication: Authentication
    logins: Logins
    signing_key_days: int
    limits: RateLimits
    pending: PendingLogins
    provider: OidcProvider | None = None
    """Where people sign in beside here, if anywhere."""
    trusted_proxies: Sequence[Network] = ()

    @classmethod
    def of(cls, database: Database, settings: GatewaySettings) -> Self:
        """From the settings; nothing is started."""
        keys = SigningKeys(database, settings.secret_key.get_secret_value())
        access = AccessTokens(keys, settings.token_issuer, settings.access_token_seconds)
        authentication = Authentication(database, keys, access, settings.token_cache_seconds)
        hasher = Hasher(settings.password_hashes_at_once)
        logins = Logins(database, keys, access, authentication, hasher, settings.session_days)
        return cls(
            database,
            keys,
            hasher,
            authentication,
            logins,
            settings.signing_key_days,
            RateLimits(
                Counter(settings.redis_url.get_secret_value()),
                settings.calls_per_minute,
                settings.address_calls_per_minute,
                settings.logins_per_minute,
            ),
            PendingLogins(keys),
            OidcProvider.of(settings),
            networks(settings.trusted_proxies),
        )

    async def start(self) -> None:
        """Nothing: keys are read when they are first needed."""

    async def stop(self) -> None:
        await self.hasher.stop()
        await self.limits.counter.close()
        if self.provider is not None:
            await self.provider.close()

    async def maintain(self) -> None:
        """One pass: rotate the signing key when it is due, forget sessions that are over."""
        await self.keys.rotate_when_due(self.signing_key_days)
        async with self.database.connection() as connection:
            await sessions.forget(connection)
            await oidc_logins.forget(connection)
