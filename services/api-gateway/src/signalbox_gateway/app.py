"""Wiring of the gateway."""

from functools import partial

from signalbox_chassis.blobs import Blobs
from signalbox_chassis.messaging.bus import Subscription
from signalbox_chassis.messaging.router import Router
from signalbox_chassis.runtime.loops import Loop
from signalbox_chassis.runtime.service import Service
from signalbox_chassis.security.assertions import signing_keys
from signalbox_contracts.topics import source_topic, topic
from signalbox_gateway import handlers
from signalbox_gateway.consumer_groups import Groups
from signalbox_gateway.default_engines import DefaultEngines
from signalbox_gateway.definitions import publish
from signalbox_gateway.http.dependencies import Dependencies
from signalbox_gateway.http.factory import application
from signalbox_gateway.identity.service import Identity
from signalbox_gateway.live.forwarding import Notifiers
from signalbox_gateway.long_poll import Waits
from signalbox_gateway.notification_watch import NotificationWatch
from signalbox_gateway.read_model import gauges, prune
from signalbox_gateway.recovery.rebuild import Rebuild
from signalbox_gateway.recovery.resend import Resender
from signalbox_gateway.routes import (
    audit,
    auth,
    bindings,
    bulk,
    channels,
    dead_letters,
    dead_letters_write,
    definitions,
    deliveries,
    engines,
    event_sources,
    events,
    flink_jobs,
    incidents,
    jobs,
    keys,
    live,
    me,
    notification_configs,
    oidc,
    oozie_jobs,
    operations,
    pipelines,
    plans_export,
    plans_read,
    plans_write,
    reprocessing,
    reprocessing_logs,
    run_hints,
    schedules,
    secrets,
    starts,
    status,
    tasks,
    tasks_write,
    traces,
    trigger_dry_run,
    users,
    workflow_runs,
    workflows,
)
from signalbox_gateway.routes.examples import examples
from signalbox_gateway.run_hints import SEND_SECONDS
from signalbox_gateway.server import ApiServer
from signalbox_gateway.settings import GatewaySettings
from signalbox_gateway.store import idempotency
from signalbox_gateway.store.audit import chain
from signalbox_gateway.store.audit import prune as prune_audit

NAME = "api-gateway"
ROUTERS = [
    *(
        module.router
        for module in (
            engines, event_sources, events, flink_jobs, jobs, oozie_jobs, pipelines, schedules, plans_export,
            plans_read, plans_write, tasks, tasks_write, bulk, secrets, audit, auth, oidc, users, keys, bindings,
            dead_letters, dead_letters_write, operations, status, traces, me, workflows, workflow_runs, channels,
            incidents, deliveries, notification_configs, reprocessing, reprocessing_logs, live, trigger_dry_run,
            starts, run_hints,
        )
    ),
    *definitions.ROUTERS,  # last: their `/{id}` matches whatever no route before them took
]  # fmt: skip
"""Every route of the API."""


def gateway(settings: GatewaySettings) -> Service:
    """The service, not started."""
    waits = Waits()
    control = Router()
    service = Service(
        NAME,
        settings,
        after_restore=publish.after_restore,
        subscriptions=[
            handlers.subscription(waits, lambda what, version: service.health.restate(what, version)),
            # nothing but what is asked about messages this service parked itself
            Subscription("control", (topic("operations.v1"),), control),
        ],
        sends=[
            topic("requests.v1"),
            topic("operations.v1"),
            topic("definitions.v1"),
            topic("triggers.v1"),
            *map(source_topic, settings.sources),
        ],
    )
    service.dead_letters.answer_operations(control)
    groups = Groups(settings.kafka, group_prefix=settings.group_prefix, topic_prefix=settings.topic_prefix)
    vault = settings.vault()
    identity = Identity.of(service.database, settings)
    notifiers = Notifiers(
        [url for url in settings.live_urls.split(",") if url], signing_keys(settings.secret_key.get_secret_value())
    )
    deps = Dependencies(
        service.database,
        waits,
        settings,
        service.telemetry.tracer,
        service.clock,
        vault,
        Blobs(settings.blob_url) if settings.blob_url else None,
        groups.snapshot,
        settings.guard(),
        identity,
        notifiers,
    )

    async def forget() -> None:
        async with service.database.connection() as connection:
            await idempotency.forget(connection)

    async def check_definitions() -> None:
        await deps.unreadable.check(service.database)

    async def chain_audit() -> bool:
        return await chain(service.database)

    async def prune_audit_once() -> bool:
        return bool(await prune_audit(service.database, settings.audit_days))

    server = ApiServer(
        application(deps, ROUTERS, examples, settings.console_folder), settings.api_host, settings.api_port,
        certificate=settings.tls_certificate, key=settings.tls_key, max_connections=settings.max_connections,
    )  # fmt: skip
    service.parts = [
        ("groups", groups),
        ("identity", identity),
        ("live feed", notifiers),
        *([("vault", vault)] if vault else []),
        ("api", server),
    ]
    seconds = settings.answer_seconds
    rebuild = Rebuild(service.database, service.clock, seconds)
    resender = Resender(service.database, service.clock, settings.kafka, settings.topic_prefix, seconds)
    default_engines = DefaultEngines(service.database, service.clock, settings)
    watch = NotificationWatch(service.database, settings, groups.look)
    service.loops = [
        Loop("default engines", default_engines.one_pass, 60.0),
        Loop("watch notifications", watch.one_pass, 10.0),
        Loop("run hints", deps.run_hints.send, SEND_SECONDS),
        Loop("gauges", partial(gauges.one_pass, service.database), 15.0),
        Loop("unreadable definitions", check_definitions, 15.0),
        Loop("forget answers", forget, 600.0),
        Loop("retention", partial(prune.RETENTION.one_pass, service.database, settings), 600.0),
        Loop("audit chain", chain_audit, 1.0),
        Loop("audit retention", prune_audit_once, 3600.0),
        Loop("identity", identity.maintain, 600.0),
        Loop("rebuild", rebuild.one_pass, seconds / 12),
        Loop("requests again", resender.requests, seconds / 12),
        Loop("definitions again", resender.definitions, seconds),
    ]
    return service
