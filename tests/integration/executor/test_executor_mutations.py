"""Every guard is necessary: with it taken out of the statement, the test that is named for it fails.

Guards by the names of the model (`tests/unit/protocol/model.py`). `NECESSARY` are those that break something when they
are left out alone (`docs/architecture/protocol-model.md`), where they exist as SQL or as code around it; `WALLS` are
second walls whose loss a test sees all the same. Where a statement has a guard twice, both are taken out.

Not here: the `fence.*` guards belong to the start fence, which is not built. `renew.not_dead`, `takeover.marks_dead`,
`give_back.fence` and `resend.state` are masked by others in every statement that we have.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final
from uuid import UUID

import asyncpg
import pytest

from integration.executor import test_executor_claim as claims
from integration.executor import test_executor_freeze as freeze_tests
from integration.executor import test_executor_guards as guards
from integration.executor import test_executor_restored as restored
from integration.executor import test_executor_unknown as unknown
from signalbox_chassis.persistence.connection import Connection
from signalbox_chassis.persistence.restore_detection import REPLAY_COMPLETE
from signalbox_contracts.messages.tasks import Phase
from signalbox_executor.observer import Observer
from signalbox_executor.store import claim, finish, freezes, observe, resolve, rules, stop, submit, workers
from signalbox_executor.store.freezes import ENGINE_OPEN
from support.executor import Store, make_store, remove_store

Test = Callable[..., Awaitable[None]]
FAILS: Final = (AssertionError, pytest.fail.Exception, asyncpg.CheckViolationError)
"""The row's own CHECK is a wall behind the guard of the state: with an owner, or without one, where it must not be."""


@dataclass(frozen=True)
class Without:
    """One guard taken out: in a module's statement, each of these texts by what it becomes."""

    guard: str
    module: ModuleType
    statement: str
    edits: Sequence[tuple[str, str]]
    test: Test

    def apply(self, patch: pytest.MonkeyPatch) -> None:
        sql: str = vars(self.module)[self.statement]
        for text, becomes in self.edits:
            assert text in sql, f"{self.statement} has no {text!r}: is the guard still there?"
            sql = sql.replace(text, becomes)
        patch.setattr(self.module, self.statement, sql)


@dataclass(frozen=True)
class Instead:
    """One guard taken out by doing something else."""

    guard: str
    apply: Callable[[pytest.MonkeyPatch], None]
    test: Test


def remembers_the_limit(patch: pytest.MonkeyPatch) -> None:
    """The claim takes the plan's limit as it was before it had the plan's lock."""
    claims_under_locks, original, fresh = claim.claim, str(vars(claim)["_CLAIM"]), "COALESCE(p.task_limit, 2147483647)"
    assert fresh in original

    async def claims_what_it_remembers(connection: Connection, worker: UUID, **arguments: Any) -> list[claim.Claim]:
        limit = await connection.fetchval("SELECT max(task_limit) FROM plan_rules")
        patch.setattr(claim, "_CLAIM", original.replace(fresh, str(limit)))
        return await claims_under_locks(connection, worker, **arguments)

    patch.setattr(claim, "claim", claims_what_it_remembers)


def asks_the_engine_first(patch: pytest.MonkeyPatch) -> None:
    """The rows are read after the engine was asked for all it has: what it does not name seems lost."""

    async def look(self: Any, engine_id: str, adapter: Any, fence: int) -> None:
        there = await adapter.observe([])
        watches = await self._rows(engine_id, UUID(int=0))
        keys = [one.watched.run_key for one in watches]
        seen = {key: guards.seen(key, Phase.LOST) for key in keys} | there
        await self._write(engine_id, fence, watches, seen)

    patch.setattr(Observer, "poll_all", look)


LIVE = "AND NOT dead AND lease_until > clock_timestamp()"
ENDED = "state IN ('QUEUED', 'CLAIMED')"
SNAPSHOT = "(SELECT old.{column} FROM task old WHERE old.id = t.id)"
"""What the row was when the statement began: what a statement before it would have read."""
ONE_END = guards.test_a_terminal_row_never_moves
STALE = guards.test_whoever_lost_its_row_to_a_take_over_writes_nothing_more
CANCEL = guards.test_a_cancel_and_an_intent_never_both_win
REFUSED = guards.test_a_refusal_ends_the_attempt_only_if_its_copy_is_the_only_one
TAKE_OVER = guards.test_only_a_live_worker_takes_over_and_only_from_one_that_is_not
OWN_ROW = claims.test_a_dead_worker_claims_nothing_and_a_claim_makes_its_take_over_wait
GIVEN_BACK = claims.test_what_is_given_back_is_claimed_again_under_a_new_fence
RESTORED = restored.test_nothing_is_claimed_of_a_restored_database_before_what_came_since_is_read_again
NOT_SENT = restored.test_nothing_is_swept_or_taken_over_in_a_restored_database_before_that
LEASES = guards.test_an_engine_is_observed_by_one_worker_until_its_lease_ends

NECESSARY: Final[list[Without | Instead]] = [
    Without("claim.own_row", claim, "_LOCK", [(f"{LIVE} ", "")], OWN_ROW),
    Without("claim.restored", claim, "_LOCK", [(f"WHERE {REPLAY_COMPLETE}", "")], RESTORED),
    Without("claim.own_row_lock", claim, "_LOCK", [(" FOR SHARE", "")], OWN_ROW),
    Without(
        "claim.state", claim, "_CLAIM",
        [("AND t.state = 'QUEUED' ORDER BY", "ORDER BY"), ("= locked.id AND t.state = 'QUEUED'", "= locked.id")],
        guards.test_a_row_that_is_cancelled_while_a_claim_picks_it_stays_cancelled,
    ),
    Without(
        "claim.group_lock", claim, "_LOCK",
        [("pg_advisory_xact_lock", "abs"), ("ORDER BY id FOR UPDATE", "ORDER BY id")],
        guards.test_claims_of_one_group_go_one_by_one_whatever_plans_they_serve,
    ),
    Without(
        "claim.plan_lock", claim, "_LOCK", [("ORDER BY p.plan_id FOR UPDATE", "ORDER BY p.plan_id")],
        guards.test_a_plan_over_two_groups_keeps_its_limit,
    ),
    Instead("claim.fresh_limit", remembers_the_limit, guards.test_a_claim_that_waited_for_new_rules_obeys_them),
    Without(
        "claim.unknown_counts", claim, "_CLAIM", [("'RUNNING', 'UNKNOWN') GROUP BY 1,", "'RUNNING') GROUP BY 1,")],
        guards.test_an_unknown_task_keeps_its_slot,
    ),
    Without(
        "claim.per_engine", claim, "_CLAIM",
        [("LEFT JOIN on_engine a ON a.engine_id = e.id",
          "LEFT JOIN (SELECT sum(n)::int AS n, sum(starting)::int AS starting FROM active) a ON true")],
        guards.test_a_full_engine_holds_no_other_engine_back,
    ),
    Without(
        "freeze.exact", claim, "_CLAIM", [(ENGINE_OPEN, "true")],
        freeze_tests.test_a_claim_that_waited_for_a_freeze_to_be_saved_claims_nothing,
    ),
    Without(
        "freeze.engines_locked", freezes, "_LOCK_ENGINES", [(" FOR UPDATE", "")],
        freeze_tests.test_a_claim_that_was_counting_when_a_freeze_came_commits_before_it,
    ),
    Without(
        "rules.version", rules, "_SAVE", [("WHERE r.version < excluded.version", "")],
        guards.test_older_rules_change_nothing,
    ),
    Without("give_back.state", claim, "_GIVE_BACK", [("t.state = 'CLAIMED' AND ", "")], GIVEN_BACK),
    Without(
        "sweep", workers, "_OWN", [("WHERE t.owner = $1", "WHERE t.owner = $1 AND false")],
        guards.test_a_worker_finds_its_own_rows_that_nobody_drives,
    ),
    Without("sweep.restored", workers, "_OWN", [(f" AND {REPLAY_COMPLETE}", "")], NOT_SENT),
    Without("takeover.restored", workers, "_EXPIRED", [(f"  AND {REPLAY_COMPLETE}\n", "")], NOT_SENT),
    Without("intent.state", submit, "_INTENT", [("t.state = 'CLAIMED' AND ", "")], CANCEL),
    Without("record.state", submit, "_RECORD", [("t.state = 'SUBMITTING' AND ", "")], ONE_END),
    Without("record.fence", submit, "_RECORD", [(" AND t.fence = o.fence", "")], STALE),
    Without("resend.counted", submit, "_RAISE_SENDS", [("sends = sends + $3", "sends = sends + 0 * $3::int")], REFUSED),
    Without("rejected.single", finish, "_REJECTED", [(" AND t.sends = 1", "")], REFUSED),
    Without("takeover.live", workers, "_IS_LIVE", [(f"{LIVE} ", "")], TAKE_OVER),
    Without("lease.own_end", observe, "_ACQUIRE", [(" OR l.lease_until < clock_timestamp()\n", "\n")], LEASES),
    Without(
        "lease.per_engine", observe, "_ACQUIRE", [("VALUES ($1, ", "VALUES (left($1::text, 0), ")],
        guards.test_the_lease_of_one_engine_is_not_that_of_another,
    ),
    Instead(
        "observe.rows_first", asks_the_engine_first,
        guards.test_what_is_recorded_while_the_engine_is_asked_is_not_taken_for_lost,
    ),
    Without("observation.state", finish, "_OBSERVED", [("t.state IN ('RUNNING', 'UNKNOWN') AND ", "")], ONE_END),
    Without(
        "observation.attempt", finish, "_OBSERVED", [(" AND t.attempt = o.attempt", "")],
        guards.test_an_observation_of_the_last_attempt_never_touches_the_next,
    ),
    Without(
        "over.row_decides", finish, "_OBSERVED",
        [("WHEN t.cancel_requested_at IS", f"WHEN {SNAPSHOT.format(column='cancel_requested_at')} IS")],
        guards.test_a_cancel_that_comes_while_a_retry_is_being_written_wins,
    ),
    Without("cancel.claimed", stop, "_CANCEL", [("('QUEUED', 'CLAIMED')", "('QUEUED')")], CANCEL),
    Without(
        "cancel.one_statement", stop, "_CANCEL",
        [("t.state IN ('QUEUED'", f"{SNAPSHOT.format(column='state')} IN ('QUEUED'"),
         ("t.state NOT IN ('QUEUED'", f"{SNAPSHOT.format(column='state')} NOT IN ('QUEUED'")],
        CANCEL,
    ),
    Without(
        "cancel.seen_terminal", stop, "_CANCEL", [("('QUEUED', 'CLAIMED')", "('QUEUED', 'CLAIMED', 'RUNNING')")],
        guards.test_a_cancel_without_kill_lets_the_run_end_but_tries_no_more,
    ),
    Without(
        "cancel of what may be under way", stop, "_CANCEL",
        [("('QUEUED', 'CLAIMED')", "('QUEUED', 'CLAIMED', 'SUBMITTING')")], CANCEL,
    ),
    Without(
        "resolve.attempt", resolve, "_RESOLVE",
        [(" AND attempt = $2 FOR UPDATE", " FOR UPDATE"), (" AND t.attempt = $2", "")],
        unknown.test_a_word_on_an_attempt_never_touches_the_next_one_nor_anything_that_is_not_unknown,
    ),
    Without(
        "resolve, the state", resolve, "_RESOLVE", [(" AND state = 'UNKNOWN'", ""), (" AND t.state = 'UNKNOWN'", "")],
        unknown.test_a_word_on_an_attempt_never_touches_the_next_one_nor_anything_that_is_not_unknown,
    ),
    Without(
        "expire.state", stop, "_EXPIRE", [("WHERE state = 'QUEUED' AND", "WHERE"), (" AND t.state = 'QUEUED'", "")],
        guards.test_time_limits_end_what_waits_and_stop_what_runs,
    ),
]  # fmt: skip

WALLS: Final[list[Without | Instead]] = [
    Without("intent.fence", submit, "_INTENT", [(" AND t.fence = o.fence", "")], STALE),
    Without("resend.fence", submit, "_RAISE_SENDS", [(" AND fence = $2", " AND $2::bigint > 0")], STALE),
    Without("rejected, the fence", finish, "_REJECTED", [(" AND t.fence = o.fence", "")], STALE),
    Without("settled, the fence", finish, "_SEALED", [(" AND t.fence = o.fence", "")], STALE),
    Without("takeover.raises_fence", workers, "_TAKE", [("fence = fence + 1", "fence = fence")], STALE),
    Without(
        "takeover.expired", workers, "_LOCK_VICTIM", [("(dead OR lease_until < clock_timestamp())", "true")], TAKE_OVER
    ),
    Without(
        "renew.not_expired", workers, "_RENEW", [(" AND lease_until > clock_timestamp()", "")],
        guards.test_a_lease_that_ran_out_is_not_renewed,
    ),
    Without("observation.engine_fence", observe, "_HOLDS", [("fence = $3", "$3::bigint > 0")], LEASES),
]  # fmt: skip


ALL: Final = [*NECESSARY, *WALLS]
TESTS: Final = {one.test.__qualname__.removeprefix("test_"): one.test for one in ALL}
_EMPTY: Final = """
TRUNCATE freeze_definition, freeze_window, task, attempt, worker, engine, engine_lease, plan_rules, restore_mark;
UPDATE seen SET revision = 0
"""


def named(one: Without | Instead) -> str:
    return one.guard.replace(" ", "_")


@pytest.fixture(scope="module")
def one_store(postgres_url: str) -> Iterator[Store]:
    """A schema for all of them: to make one takes longer than to run most of these tests."""
    made = asyncio.run(make_store(postgres_url))
    yield made
    asyncio.run(remove_store(made, postgres_url))


@pytest.fixture
async def empty(one_store: Store) -> Store:
    async with one_store.connection() as connection:
        await connection.execute(_EMPTY)
    return one_store


async def run(test: Test, store: Store, patch: pytest.MonkeyPatch) -> None:
    """The named test, with what it asks for."""
    given: dict[str, Any] = {"store": store, "monkeypatch": patch}
    asks = inspect.signature(test).parameters
    if "me" in asks:
        await store.engine(concurrency=1000)
        given["me"] = await store.worker()
    await test(**{name: given[name] for name in asks})


@pytest.mark.parametrize("one", ALL, ids=named)
async def test_without_this_guard_its_test_fails(
    empty: Store, one: Without | Instead, monkeypatch: pytest.MonkeyPatch
) -> None:
    one.apply(monkeypatch)
    with pytest.raises(FAILS) as failed:
        await run(one.test, empty, monkeypatch)
    print(f"{one.guard}: {one.test.__qualname__}: {str(failed.value).splitlines()[0]}")


@pytest.mark.parametrize("name", TESTS)
async def test_with_every_guard_each_of_these_tests_passes(
    empty: Store, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would fail without the guard too, whatever the guard does."""
    await run(TESTS[name], empty, monkeypatch)
