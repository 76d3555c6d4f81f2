"""In: notification_config_create … notification_config_delete. Changes: definition, the vault.
Out: definition.snapshot of a channel and a subscription.
"""

from typing import Annotated, Any

from fastapi import Depends, Request, Response

from signalbox_chassis.persistence.connection import Connection
from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_chassis.security.egress import AddressRefused
from signalbox_chassis.security.vault import SecretMissing
from signalbox_contracts.definitions.channel import Channel, Subscription
from signalbox_gateway.definitions import checks, publish, store
from signalbox_gateway.definitions.addresses import check_addresses, check_url
from signalbox_gateway.definitions.kinds import KINDS
from signalbox_gateway.definitions.written import complete
from signalbox_gateway.http.access import Principal, permission
from signalbox_gateway.http.bodies import body, body_of
from signalbox_gateway.http.configured import NOT_CONFIGURED, vault
from signalbox_gateway.http.dependencies import Dependencies, Deps
from signalbox_gateway.http.etags import etag, must_match
from signalbox_gateway.http.idempotency import Answer, write
from signalbox_gateway.http.openapi import IF_MATCH, UNREADABLE
from signalbox_gateway.http.prefix_router import PrefixRouter
from signalbox_gateway.http.problems import Problem, built, invalid, invalid_all
from signalbox_gateway.notification_configs import (
    NotificationConfig,
    NotificationConfigPage,
    NotificationConfigWrite,
    channel_values,
    config_of,
    problems,
    slack_secret,
    subscription_values,
)
from signalbox_gateway.read_model import cursor as cursors
from signalbox_gateway.routes.params import Cursor, Limit, after, answer, missing

router = PrefixRouter(prefix="/notifications/configs", tags=["notifications"])
Reader = Depends(permission("subscription.read"))
Editor = Annotated[Principal, Depends(permission("subscription.write"))]
ChannelEditor = Depends(permission("channel.write"))


@router.get(
    "", operation_id="notification_config_list", response_model=NotificationConfigPage, dependencies=[Reader]
)  # fmt: skip
async def notification_config_list(deps: Deps, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """Who is notified of what, by id: every subscription with its channel."""
    begin = after("names", cursor)
    async with deps.database.connection() as connection:
        found, last = await store.load_page(connection, "subscription", limit=limit, after=begin[0] if begin else "")
        items = await _shown(connection, found)
    return answer({"items": items, "next_cursor": cursors.encode("names", [last] if last else None)})


@router.get(
    "/{id}", operation_id="notification_config_show", response_model=NotificationConfig, dependencies=[Reader],
    responses=UNREADABLE,
)  # fmt: skip
async def notification_config_show(deps: Deps, id: str) -> Response:
    """One configuration."""
    async with deps.database.connection() as connection:
        saved = (await _find(connection, id)).read()
        (shown,) = await _shown(connection, [saved])
    return answer(shown, headers=etag(saved.revision))


@router.post(
    "", operation_id="notification_config_create", responses=NOT_CONFIGURED, status_code=201,
    response_model=NotificationConfig,
    openapi_extra=body(NotificationConfigWrite), dependencies=[ChannelEditor],
)  # fmt: skip
async def notification_config_create(request: Request, deps: Deps, principal: Editor) -> Response:
    """Save a channel and a subscription to it under one id, derived from the name."""
    written = await _read(request, deps)
    id = str(complete({"name": written.name})["id"])

    async def act(work: UnitOfWork) -> Answer:
        await publish.lock(work.connection)
        for kind in ("subscription", "channel"):
            if await store.find(work.connection, kind, id):
                raise Problem("conflict", f"{kind} {id} exists: PUT /notifications/configs/{id} changes it")
        saved = await _save(work, deps, principal, id, written, id)
        (shown,) = await _shown(work.connection, [saved])
        return Answer(shown, 201, {**etag(saved.revision), "Location": f"/api/v1/notifications/configs/{id}"})

    return await write(request, deps, principal, act)


@router.put(
    "/{id}", operation_id="notification_config_update", responses=NOT_CONFIGURED, response_model=NotificationConfig,
    openapi_extra={**body(NotificationConfigWrite), **IF_MATCH}, dependencies=[ChannelEditor],
)  # fmt: skip
async def notification_config_update(request: Request, deps: Deps, principal: Editor, id: str) -> Response:
    """Save the next version of both."""
    written = await _read(request, deps)

    async def act(work: UnitOfWork) -> Answer:
        await publish.lock(work.connection)
        stored = await _find(work.connection, id)
        must_match(request, stored.revision)
        before = stored.read()
        assert isinstance(before.definition, Subscription)
        saved = await _save(work, deps, principal, id, written, before.definition.channel)
        (shown,) = await _shown(work.connection, [saved])
        return Answer(shown, 200, etag(saved.revision))

    return await write(request, deps, principal, act)


@router.delete(
    "/{id}", operation_id="notification_config_delete", status_code=204, openapi_extra=IF_MATCH,
    dependencies=[ChannelEditor],
)  # fmt: skip
async def notification_config_delete(request: Request, deps: Deps, principal: Editor, id: str) -> Response:
    """Delete the subscription, and the channel of the same id unless something else uses it."""

    async def act(work: UnitOfWork) -> Answer:
        await publish.lock(work.connection)
        stored = await _find(work.connection, id)
        must_match(request, stored.revision)
        now = deps.clock.now()
        await store.delete(work, stored, actor=principal.actor, at=now)
        channel = await store.find(work.connection, "channel", id)
        if channel is not None and not await KINDS["channel"].users(work.connection, id):
            await store.delete(work, channel, actor=principal.actor, at=now)
        return Answer(None, 204)

    response = await write(request, deps, principal, act)
    await _forget_secret(deps, id, principal)
    return response


async def _read(request: Request, deps: Dependencies) -> NotificationConfigWrite:
    """The body. Raises a 422 problem that names every field that is wrong; an address is in none of them."""
    written = await body_of(request, NotificationConfigWrite)
    if found := problems(written):
        raise invalid_all(found)
    if written.webhook_url and not written.webhook_url.startswith("secret://"):
        try:
            await check_url(written.webhook_url, deps.guard)
        except AddressRefused as refused:
            raise invalid("webhook_url", None, refused.reason) from None
    return written


async def _find(connection: Connection, id: str) -> store.Stored:
    stored = await store.find(connection, "subscription", id)
    if stored is None:
        raise missing("notification configuration", id)
    return stored


async def _shown(connection: Connection, saved: list[store.Saved]) -> list[dict[str, Any]]:
    wanted = [one.definition.channel for one in saved if isinstance(one.definition, Subscription)]
    channels = await store.load_readable(connection, "channel", wanted)
    return [config_of(one, channels.get(channel)) for one, channel in zip(saved, wanted, strict=True)]


async def _save(
    work: UnitOfWork, deps: Dependencies, principal: Principal, id: str, written: NotificationConfigWrite,
    channel_id: str,
) -> store.Saved:  # fmt: skip
    """Save both. The secret is written last: when it cannot be kept, nothing is saved."""
    secret = None
    if written.channel == "slack":
        secret = written.webhook_url
        if secret is not None and not secret.startswith("secret://"):
            secret = f"secret://{slack_secret(channel_id)}"
    channel = built(Channel, channel_values(channel_id, written, secret))
    await check_addresses(channel, deps.guard)
    subscription = built(Subscription, subscription_values(id, written, channel_id))
    now = deps.clock.now()
    await checks.check_definition(work.connection, channel)
    await store.save(work, channel, actor=principal.actor, at=now)
    await checks.check_definition(work.connection, subscription)
    saved = await store.save(work, subscription, actor=principal.actor, at=now)
    if written.channel == "slack" and secret != written.webhook_url:
        await _keep_secret(deps, slack_secret(channel_id), written.webhook_url or "", principal)
    return saved


async def _keep_secret(deps: Dependencies, name: str, value: str, principal: Principal) -> None:
    await vault(deps).set(
        name, value, uses=["channel"], description="made by a notification configuration", actor=principal.actor
    )


async def _forget_secret(deps: Dependencies, id: str, principal: Principal) -> None:
    """Forget the secret that a configuration brought, unless a definition names it."""
    name = slack_secret(id)
    async with deps.database.connection() as connection:
        users = await store.users_of_secret(connection, name)
    if deps.vault is not None and not users:
        try:
            await deps.vault.delete(name, actor=principal.actor)
        except SecretMissing:
            return
