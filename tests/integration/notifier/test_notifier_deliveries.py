"""Messages on real Kafka and PostgreSQL to receivers that misbehave: each arrives, and one delays no other."""

import asyncio
import json
import socket
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from aiosmtpd.controller import Controller

from signalbox_contracts.messages.deliveries import DeliveryStated
from signalbox_contracts.messages.operations import (
    ChannelTest,
    DeliveryResend,
    IncidentSnooze,
)
from signalbox_contracts.messages.states import IncidentStated, OperationResult, Outcome
from signalbox_contracts.topics import topic
from support.executor import operation
from support.notifier import Notifiers, plan_state, receiver, status, subscription, webhook
from support.proofs import proves
from support.service_fixture import until


def data(got: tuple[dict[str, str], bytes]) -> dict[str, Any]:
    return json.loads(got[1])


async def states_of(notifiers: Notifiers, state: str) -> int:
    return await notifiers.value("SELECT count(*) FROM delivery WHERE state = $1", state)


@proves("notifier.store.deliveries: delivery.one_sender")
async def test_a_plan_is_reported_once_a_subscription_however_often_its_facts_come(notifiers: Notifiers) -> None:
    started = plan_state("ACCEPTED", "RUNNING")
    ended = plan_state("ACCEPTED", "RUNNING", "SUCCEEDED", plan=started.data.plan_id)
    async with receiver() as hook:
        await notifiers.define(
            webhook("hook", hook.url), subscription("all", "hook"),
            subscription("ends", "hook", "workflow_completed", "workflow_failed"),
        )  # fmt: skip
        async with notifiers.notifying():
            await notifiers.publish(started, ended, started)

            async def notified() -> bool:
                return await states_of(notifiers, "sent") == 4

            await until(notified, why="three messages for all, one for the end")

            async def stated() -> bool:
                facts = [
                    one for one in await notifiers.published(topic("deliveries.v1")) if isinstance(one, DeliveryStated)
                ]
                sent = {str(one.data.delivery_id) for one in facts if one.data.state == "sent"}
                return sent == {headers["webhook-id"] for headers, _ in hook.got}

            await until(stated, why="every delivery is published as sent")
        types = sorted(data(one)["type"] for one in hook.got)
    assert types == ["workflow.completed", "workflow.completed", "workflow.started", "workflow.triggered"]
    ids = [headers["webhook-id"] for headers, _ in hook.got]
    assert len(set(ids)) == 4


async def test_a_receiver_that_answers_in_binary_gets_each_message_once(notifiers: Notifiers) -> None:
    """PostgreSQL keeps no zero characters: the try could not be recorded, and was made again after each lease."""
    async with receiver(lambda _: web.Response(body=b"\0ok\0")) as hook:
        await notifiers.define(webhook("hook", hook.url), subscription("s", "hook", "workflow.started"))
        async with notifiers.notifying():
            await notifiers.publish(plan_state("ACCEPTED", "RUNNING"))

            async def sent() -> bool:
                return await states_of(notifiers, "sent") == 1

            await until(sent, why="the try is recorded")
    assert len(hook.got) == 1


@proves("F44")
async def test_a_slow_a_failing_and_a_redirecting_receiver_delay_nobody_else(notifiers: Notifiers) -> None:
    """A delivery that is not taken is tried again with the same id; a redirect is never followed."""
    released = asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        await released.wait()
        return web.Response()

    flaky_answers = status(500), status(200)
    async with receiver(hang) as slow, receiver(*flaky_answers) as flaky, receiver() as good:  # noqa: SIM117
        async with receiver(status(302, Location=good.url)) as redirecting:
            named = {"slow": slow, "flaky": flaky, "good": good, "redirecting": redirecting}
            for number, (name, one) in enumerate(named.items()):
                await notifiers.define(
                    webhook(name, one.url), subscription(f"s-{name}", name, "workflow.started"), revision=number + 1
                )
            async with notifiers.notifying():
                await notifiers.publish(*(plan_state("ACCEPTED", "RUNNING") for _ in range(3)))

                async def delivered() -> bool:
                    return len(good.got) == 3 and len(redirecting.got) == 3 and len(flaky.got) >= 3

                await until(delivered, why="the others got theirs while one hangs")
                assert len(slow.got) == 1
                assert await states_of(notifiers, "sending") == 1
                await notifiers.rows("UPDATE delivery SET next_try_at = now() WHERE channel_id = 'flaky'")

                async def again() -> bool:
                    return len(flaky.got) == 4

                await until(again, why="the failed one is tried again")
                released.set()
    assert flaky.got[0][0]["webhook-id"] in {headers["webhook-id"] for headers, _ in flaky.got[1:]}
    assert (
        await notifiers.value("SELECT count(*) FROM delivery WHERE channel_id = 'redirecting' AND state = 'retrying'")
        == 3
    )
    answer = await notifiers.value("SELECT answer FROM delivery_try t JOIN delivery d ON d.id = t.delivery_id"
                                   " WHERE d.channel_id = 'redirecting' LIMIT 1")  # fmt: skip
    assert answer == "HTTP 302: answer 302 (a redirect is not followed)"


async def test_a_notifier_that_is_stopped_records_what_a_receiver_is_taking(notifiers: Notifiers) -> None:
    """Or every rolling restart would send the messages under way a second time."""
    taking = asyncio.Event()

    async def slow(_: web.Request) -> web.Response:
        taking.set()
        await asyncio.sleep(0.3)
        return web.Response()

    async with receiver(slow) as hook:
        await notifiers.define(webhook("hook", hook.url), subscription("s", "hook", "workflow.started"))
        async with notifiers.notifying():
            await notifiers.publish(plan_state("ACCEPTED", "RUNNING"))
            await asyncio.wait_for(taking.wait(), 30)
        assert await states_of(notifiers, "sent") == 1
        assert await notifiers.value("SELECT attempts FROM delivery") == 1


@proves("F44")
async def test_a_receiver_that_is_gone_closes_its_channel_and_the_fallback_is_used(notifiers: Notifiers) -> None:
    async with receiver(status(410)) as gone, receiver() as spare:
        await notifiers.define(
            webhook("gone", gone.url, fallback="spare"), webhook("spare", spare.url),
            subscription("s", "gone", "workflow.started"),
        )  # fmt: skip
        async with notifiers.notifying():
            for number in range(2):
                await notifiers.publish(plan_state("ACCEPTED", "RUNNING"))

                async def notified(count: int = number + 1) -> bool:
                    return len(spare.got) == count

                await until(notified, why="the fallback got it")
        assert len(gone.got) == 1
    states = await notifiers.rows("SELECT state FROM delivery WHERE channel_id = 'gone' ORDER BY created_at")
    assert [row["state"] for row in states] == ["dead", "dropped"]
    tests = await notifiers.value("SELECT reason FROM channel_state WHERE id = 'gone'")
    assert tests.startswith("the receiver answered that it is gone: HTTP 410")


async def test_a_message_that_failed_three_times_is_sent_by_the_fallback_once_and_goes_on(notifiers: Notifiers) -> None:
    async with receiver(status(500)) as failing, receiver() as spare:
        await notifiers.define(
            webhook("failing", failing.url, fallback="spare"), webhook("spare", spare.url),
            subscription("s", "failing", "workflow.started"),
        )  # fmt: skip
        async with notifiers.notifying():
            await notifiers.publish(plan_state("ACCEPTED", "RUNNING"))
            for number in range(1, 5):

                async def tried(count: int = number) -> bool:
                    return len(failing.got) == count and await states_of(notifiers, "retrying") == 1

                await until(tried, why=f"try {number} failed")
                assert len(spare.got) <= (number >= 3)
                await notifiers.rows("UPDATE delivery SET next_try_at = now() WHERE channel_id = 'failing'")

            async def notified() -> bool:
                return len(spare.got) == 1

            await until(notified, why="the fallback got it")
    assert len(spare.got) == 1, "once, however often the first channel fails"


async def test_many_failures_of_one_cause_are_one_incident_with_few_messages(notifiers: Notifiers) -> None:
    """M6: 300 failures of one cause and one of another are two incidents; recovery and reopening are told."""
    many = [plan_state("ACCEPTED", "RUNNING", "FAILED", reason=f"exit code 1 in run {n}") for n in range(300)]
    other = plan_state("ACCEPTED", "RUNNING", "FAILED", reason="disk full", target="job:other")
    async with receiver() as hook:
        await notifiers.define(
            webhook("hook", hook.url), subscription("s", "hook", "workflow.failed", "workflow.completed")
        )
        async with notifiers.notifying(incident_update_seconds=1.0):
            await notifiers.publish(*many, other)

            async def counted() -> bool:
                return await notifiers.value("SELECT max(occurrences) FROM incident") == 300

            await until(counted, seconds=60, why="every failure is counted")

            async def updated() -> bool:
                return any(data(one)["data"]["occurrences"] == 300 for one in hook.got)

            await until(updated, why="the update has the full count")
            failures = [data(one) for one in hook.got if data(one)["type"] != "workflow.completed"]
            assert 3 <= len(failures) <= 12
            assert len({one["data"]["incident_id"] for one in failures}) == 2
            await notifiers.publish(plan_state("ACCEPTED", "RUNNING", "SUCCEEDED"))

            async def recovered() -> bool:
                return any(data(one)["type"] == "incident.recovered" for one in hook.got)

            await until(recovered, why="the recovery is told")
            before = len(hook.got)
            await notifiers.publish(plan_state("ACCEPTED", "RUNNING", "FAILED", reason="exit code 1 in run 7"))

            async def reopened() -> bool:
                later = [data(one)["data"] for one in hook.got[before:]]
                return any(one["occurrences"] == 1 and one["incident_id"] for one in later)

            await until(reopened, why="the new round is told at once")

            async def published() -> bool:
                newest = {one.data.incident_id: one.data for one in await notifiers.states_published(IncidentStated)}
                return sorted((one.state, one.occurrences) for one in newest.values()) == [("open", 1), ("open", 1)]

            await until(published, why="incidents are published")
    assert await notifiers.value("SELECT count(*) FROM incident") == 2


async def test_a_failure_that_waits_in_the_queue_is_sent_before_its_recovery(notifiers: Notifiers) -> None:
    """Without it a channel that sends slowly hears of the recovery alone."""
    async with receiver() as hook:
        await notifiers.define(webhook("slow", hook.url, messages_per_minute=60), subscription("s", "slow"))
        async with notifiers.notifying():
            await notifiers.publish(
                plan_state("ACCEPTED", "RUNNING"),
                plan_state("ACCEPTED", "RUNNING", "FAILED", reason="exit code 1"),
            )

            async def failed() -> bool:
                return await notifiers.value("SELECT count(*) FROM incident") == 1

            await until(failed, why="the failure is in the queue, behind the other messages")
            await notifiers.publish(plan_state("ACCEPTED", "RUNNING", "SUCCEEDED"))

            async def recovered() -> bool:
                return any(data(one)["type"] == "incident.recovered" for one in hook.got)

            await until(recovered, seconds=60, why="the recovery is sent")
    types = [data(one)["type"] for one in hook.got]
    assert types.index("workflow.failed") < types.index("incident.recovered")


async def test_a_snoozed_incident_is_silent_until_its_snooze_ends_even_while_all_is_down(notifiers: Notifiers) -> None:
    failure = plan_state("ACCEPTED", "RUNNING", "FAILED", reason="exit code 1")
    async with receiver() as hook:
        await notifiers.define(webhook("hook", hook.url), subscription("s", "hook", "workflow.failed"))
        async with notifiers.notifying(incident_update_seconds=1.0):
            await notifiers.publish(failure)

            async def notified() -> bool:
                return len(hook.got) == 1

            await until(notified, why="the incident is told")
            incident = await notifiers.value("SELECT id FROM incident")
            until_at = datetime.now(UTC) + timedelta(hours=1)
            snooze = operation(IncidentSnooze, f"incident:{incident}", incident_id=incident, until_at=until_at)
            past = operation(
                IncidentSnooze, f"incident:{incident}", incident_id=incident, until_at=until_at - timedelta(days=1)
            )
            await notifiers.publish(snooze, past)

            async def snoozed() -> bool:
                return await notifiers.value("SELECT state FROM incident") == "SNOOZED"

            await until(snoozed, why="it is snoozed")
            await notifiers.publish(plan_state("ACCEPTED", "RUNNING", "FAILED", reason="exit code 1"))

            async def withheld() -> bool:
                query = "SELECT count(*) FROM incident_message WHERE update_at > now() + interval '30 minutes'"
                return await notifiers.value(query) == 1

            await until(withheld, why="the update waits for the end of the snooze")
            assert len(hook.got) == 1
        await notifiers.rows("UPDATE incident SET snoozed_until = now()")  # while everything is down
        async with notifiers.notifying(incident_update_seconds=1.0):

            async def woken() -> bool:
                return len(hook.got) == 2

            await until(woken, why="the end of the snooze tells what happened meanwhile")
    assert data(hook.got[1])["data"]["occurrences"] == 2
    answers = {one.data.operation_id: one.data for one in await notifiers.states_published(OperationResult)}
    assert answers[snooze.data.operation_id].outcome is Outcome.DONE
    assert answers[past.data.operation_id].outcome is Outcome.REFUSED


async def test_a_test_message_is_answered_with_what_the_receiver_answered_and_a_dead_delivery_is_resent(
    notifiers: Notifiers,
) -> None:
    async with receiver(status(200), status(410), status(200)) as hook:
        await notifiers.define(
            webhook("hook", hook.url), webhook("inside", "http://169.254.169.254/"),
            subscription("s", "hook", "workflow.started"),
        )  # fmt: skip
        good, inside, absent = (
            operation(ChannelTest, f"channel:{id}", channel_id=id, definitions_revision=1)
            for id in ("hook", "inside", "none")
        )
        async with notifiers.notifying():
            await notifiers.publish(good, inside, absent)

            async def answered() -> bool:
                return len(await notifiers.states_published(OperationResult)) == 3

            await until(answered, why="three answers")
            await notifiers.publish(plan_state("ACCEPTED", "RUNNING"))

            async def dead() -> bool:
                return (
                    await notifiers.value(
                        "SELECT count(*) FROM delivery WHERE event_type <> 'channel.test' AND state = 'dead'"
                    )
                    == 1
                )

            await until(dead, why="410 ends the delivery")
            delivery = await notifiers.value("SELECT id FROM delivery WHERE event_type <> 'channel.test'")
            await notifiers.define(webhook("hook", hook.url), revision=9)
            resend = operation(DeliveryResend, "channel:hook", channel_id="hook", delivery_ids=(delivery,))

            async def opened() -> bool:
                return await notifiers.value("SELECT max(revision) FROM definition") == 9

            await until(opened, why="the changed channel is open again")
            await notifiers.publish(resend)

            async def sent() -> bool:
                return await notifiers.value("SELECT state FROM delivery WHERE id = $1", delivery) == "sent"

            await until(sent, why="the dead delivery is sent again")
            counted = await notifiers.value("SELECT attempts - throttled FROM delivery WHERE id = $1", delivery)
            assert counted == 1, "the tries before it was resent do not count"
    answers = {one.data.operation_id: one.data for one in await notifiers.states_published(OperationResult)}
    assert answers[good.data.operation_id].outcome is Outcome.DONE
    assert answers[good.data.operation_id].reason == "HTTP 200: answer 200"
    assert answers[inside.data.operation_id].outcome is Outcome.FAILED
    assert "169.254.169.254" in answers[inside.data.operation_id].reason
    assert answers[absent.data.operation_id].outcome is Outcome.REFUSED


async def test_mail_goes_through_a_real_server_and_markup_in_it_is_text(notifiers: Notifiers) -> None:
    mails: list[Any] = []

    class Mailbox:
        async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
            mails.append(envelope)
            return "250 kept"

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(Mailbox(), hostname="127.0.0.1", port=port)
    controller.start()
    try:
        mail = webhook("mail", "http://127.0.0.1").model_copy()
        mail = type(mail).model_validate(
            {**mail.model_dump(), "destination": {"kind": "email", "to": ["oncall@example.org"]}}
        )
        await notifiers.define(mail, subscription("s", "mail", "workflow.failed"))
        async with notifiers.notifying(smtp_host="127.0.0.1", smtp_port=port, smtp_security="none"):
            await notifiers.publish(
                plan_state("ACCEPTED", "RUNNING", "FAILED", reason="<script>alert(1)</script>\nbad")
            )

            async def arrived() -> bool:
                return len(mails) == 1

            await until(arrived, why="the mail arrived")
    finally:
        controller.stop()
    text = mails[0].content.decode()
    assert "Subject: [error] job:nightly: <script>alert(1)</script>" in text
    assert "&lt;script&gt;" in text
    assert "@signalbox>" in text


async def test_a_deadline_that_passes_while_all_is_down_is_reported_once_and_none_of_a_plan_that_ended(
    notifiers: Notifiers,
) -> None:
    late, done = plan_state("ACCEPTED", "RUNNING"), plan_state("ACCEPTED", "RUNNING")
    ended = plan_state("ACCEPTED", "RUNNING", "SUCCEEDED", plan=done.data.plan_id)
    async with receiver() as hook:
        await notifiers.define(
            webhook("hook", hook.url),
            subscription("s", "hook", "deadline.missed", deadline={"longer_than_seconds": 3600}),
        )
        async with notifiers.notifying():
            await notifiers.publish(late, done, ended)

            async def planned() -> bool:
                rows = await notifiers.rows("SELECT plan_id FROM deadline")
                known = await notifiers.value("SELECT count(*) FROM plan WHERE ended")
                return [row["plan_id"] for row in rows] == [late.data.plan_id] and known == 1

            await until(planned, why="one deadline is watched")
        await notifiers.rows("UPDATE deadline SET due_at = now()")  # it passes while no notifier runs
        async with notifiers.notifying():

            async def notified() -> bool:
                return len(hook.got) == 1

            await until(notified, why="the deadline is told")
            assert await notifiers.value("SELECT count(*) FROM deadline") == 0
    assert data(hook.got[0])["type"] == "deadline.missed"


async def test_a_subscription_that_cannot_be_read_stops_no_other_and_keeps_its_digest(
    notifiers: Notifiers, caplog: pytest.LogCaptureFixture
) -> None:
    """Without it one subscription that today's bounds do not allow stops every message of every other."""
    await notifiers.rows("INSERT INTO definition VALUES ('subscription', 'spoilt', 1, '{}', false)")
    entry = "INSERT INTO digest_entry (subscription_id, event_id, message, due_at) VALUES ($1, 'e', '{}', now())"
    for id in ("spoilt", "gone"):
        await notifiers.rows(entry, id)
    await notifiers.rows("INSERT INTO deadline VALUES (gen_random_uuid(), 'spoilt', 'end_by', now())")
    async with receiver() as hook:
        await notifiers.define(
            webhook("hook", hook.url), subscription("s", "hook", "workflow.started"),
            subscription("digest", "hook", "workflow.triggered", digest_seconds=1),
        )  # fmt: skip
        async with notifiers.notifying():
            await notifiers.publish(plan_state("ACCEPTED", "RUNNING"))

            async def sent() -> bool:
                return await states_of(notifiers, "sent") == 2

            await until(sent, why="both subscriptions are served")
            assert "left out of subscriptions: spoilt: ValidationError" in caplog.text

            async def pruned() -> bool:
                rows = await notifiers.rows("SELECT subscription_id FROM digest_entry")
                return [row["subscription_id"] for row in rows] == ["spoilt"]

            await until(pruned, why="what a deleted subscription collected is dropped, and only that")
    assert await notifiers.value("SELECT count(*) FROM deadline") == 1
