"""Why something waits, in one sentence: what for, who holds it, since when, and what would free it. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from signalbox_contracts.messages.plans import WaitReason


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that waits, with the names its sentence needs."""

    detail: str
    holder: str
    """The name without its kind: `local` of `engine:local`."""
    kind: str
    """What holds it: `engine`, `plan`, a person's kind (`user`), or empty."""
    plan: str
    task: str
    until: str


Words = Callable[[Case], tuple[str, str]]
"""What it waits for, and what would free it."""


def describe(
    waiting: Mapping[str, Any], *, plan: str, engine: str | None = None, task: str = "", tasks: int | None = None
) -> dict[str, Any]:
    """A `waiting` of a fact with its sentence. `tasks` is how many say the same."""
    why, holder = str(waiting["why"]), str(waiting.get("holder") or "")
    detail, since, until = str(waiting.get("detail") or ""), waiting.get("since_at"), waiting.get("until_at")
    kind, _, name = holder.partition(":")
    case = Case(
        detail=detail,
        holder=name or (engine or "" if kind == "engine" or not holder else holder),
        kind=kind if name else "",
        plan=plan,
        task=task or "ID",
        until=f" at {_moment(until)}" if until else "",
    )
    words = WORDS.get(_reason(why), _other)
    cause, remedy = words(case)
    counted = f"{tasks} tasks: " if tasks is not None and tasks > 1 else ""
    sentence = f"{counted}{cause}, since {_moment(since)}; {remedy}"
    answer = {"why": why, "sentence": sentence, "holder": holder, "since_at": since, "until_at": until}
    return {**answer, "detail": detail, **({} if tasks is None else {"tasks": tasks})}


def planner_silent(plan: str, since: str, planner: str) -> dict[str, Any]:
    """A plan that was accepted and of which the planner has said nothing. `planner` says how that one is."""
    sentence = f"the planner has not answered since {_moment(since)}{planner}; look at `signalbox status`"
    return {"why": "planner", "sentence": sentence, "holder": "service:planner", "since_at": since, "until_at": None,
            "detail": planner.strip(" ,:")}  # fmt: skip


def parked(letter: Mapping[str, Any], plan: str) -> dict[str, Any]:
    """A message of the plan that a service could not take."""
    service, since, error = str(letter["service"]), letter["parked_at"], str(letter["error"] or "")[:500]
    sentence = (
        f"the {service} could not take a message of plan {plan} ({error}), since {_moment(since)}; end the plan with "
        f"`signalbox plan cancel {plan}`, or feed the message again with `signalbox dead-letter redrive {letter['id']}`"
    )
    return {"why": "parked", "sentence": sentence, "holder": f"service:{service}", "since_at": since.isoformat(),
            "until_at": None, "detail": error}  # fmt: skip


def failing(trouble: Mapping[str, Any]) -> dict[str, Any]:
    """A part of a service that should move it keeps failing."""
    service, part, reason = str(trouble["service"]), str(trouble["part"]), str(trouble["reason"])[:500]
    sentence = (
        f"`{part}` of the {service} keeps failing ({reason}), as of {_moment(trouble['at'])}; goes on when that is "
        "mended: `signalbox status` shows every part that fails"
    )
    return {"why": "service_failing", "sentence": sentence, "holder": f"service:{service}", "since_at": None,
            "until_at": None, "detail": f"{part}: {reason}"}  # fmt: skip


def no_executor() -> dict[str, Any]:
    """Nobody is there who could start or watch anything. Since when nobody knows."""
    sentence = (
        "no executor runs: nothing is started or watched; goes on when one is started, `signalbox status` shows whether"
        " one listens"
    )
    return {"why": "executor", "sentence": sentence, "holder": "service:executor", "since_at": None, "until_at": None,
            "detail": "no executor runs"}  # fmt: skip


def _reason(why: str) -> WaitReason:
    return WaitReason(why)  # one we do not know becomes OTHER


def _moment(instant: Any) -> str:
    """To the second: nobody reads the rest."""
    text = instant.isoformat() if hasattr(instant, "isoformat") else str(instant)
    return text[:19] + "Z" if len(text) >= 19 else text


def _with(cause: str, detail: str) -> str:
    return f"{cause} ({detail})" if detail else cause


def _dependency(case: Case) -> tuple[str, str]:
    of_step = case.kind == "step" and case.detail
    cause = case.detail if of_step else _with("waits for other items of the plan", case.detail)
    return cause, f"see `signalbox plan items {case.plan}`"


def _plan_limit(case: Case) -> tuple[str, str]:
    return _with(f"the limit of plan {case.plan} is used up", case.detail), (
        f"goes on when one of its tasks ends; raise the limit with `signalbox plan rules {case.plan} --limit N`"
    )


def _step_limit(case: Case) -> tuple[str, str]:
    return _with(f"the concurrency of step {case.holder} is used up", case.detail), (
        f"goes on when one of its tasks ends: `signalbox plan items {case.plan}`"
    )


def _engine_limit(case: Case) -> tuple[str, str]:
    return _with(f"the limit of engine {case.holder} is used up", case.detail), (
        f"goes on when one of its tasks ends (`signalbox task list --engine {case.holder} --state RUNNING`); "
        f"raise the limit with `signalbox engine update {case.holder} --concurrency N`"
    )


def _start_rate(case: Case) -> tuple[str, str]:
    of_engine = case.kind == "engine"
    who = f"engine {case.holder}" if of_engine else f"plan {case.plan}"
    change = f"signalbox engine update {case.holder}" if of_engine else f"signalbox plan rules {case.plan}"
    return _with(f"the start rate of {who} is used up", case.detail), (
        f"the next start may go{case.until or ' soon'}; raise the rate with `{change} --starts-per-minute N`"
    )


def _breaker_open(case: Case) -> tuple[str, str]:
    return _with(f"the breaker of engine {case.holder} is open", case.detail), (
        f"it is asked again{case.until or ' soon'}; ask it now with `signalbox engine test {case.holder}`, "
        "which closes the breaker if there is an answer"
    )


def _engine_paused(case: Case) -> tuple[str, str]:
    return _with(f"engine {case.holder} takes no new work", case.detail), (
        f"open it with `signalbox engine resume {case.holder}`"
    )


def _engine_unreachable(case: Case) -> tuple[str, str]:
    return _with(f"engine {case.holder} cannot be reached", case.detail), (
        "goes on when it answers: bring it back, or start an executor that can reach it; "
        f"`signalbox engine test {case.holder}` says whether it answers"
    )


def _engine_throttled(case: Case) -> tuple[str, str]:
    return _with(f"engine {case.holder} takes no more for now", case.detail), (
        f"it is sent again{case.until or ' soon'}; give it up with `signalbox task cancel {case.task} --kill`"
    )


def _frozen(case: Case) -> tuple[str, str]:
    return _with(f"freeze {case.holder} holds it", case.detail), (
        f"goes on when the freeze ends{case.until}, or is lifted with `signalbox unfreeze {case.holder}`"
    )


def _plan_paused(case: Case) -> tuple[str, str]:
    """The planner names the person as the holder; the executor has the plan there, and the person in its words."""
    detail = case.detail
    if case.kind not in ("", "plan"):
        detail = f"paused by {case.kind}:{case.holder}" + (f": {detail}" if detail else "")
    cause = f"is {detail}" if detail.startswith("paused by ") else _with("is paused", detail)
    return f"plan {case.plan} {cause}", f"let it go on with `signalbox plan resume {case.plan}`"


def _canary(case: Case) -> tuple[str, str]:
    return _with(f"the first items of plan {case.plan} are tried alone", case.detail), (
        f"goes on when enough of them succeeded; change that with `signalbox plan rules {case.plan} -f FILE`"
    )


def _engine_pending(case: Case) -> tuple[str, str]:
    return _with(f"engine {case.holder} accepted it and has not begun it", case.detail), (
        f"goes on when the engine can begin it; give it up with `signalbox task cancel {case.task}`"
    )


def _retry_delay(case: Case) -> tuple[str, str]:
    return _with(f"does not start before{case.until.removeprefix(' at') or ' its time'}", case.detail), (
        f"starts by itself then; give it up with `signalbox task cancel {case.task}`"
    )


def _definition_not_seen(case: Case) -> tuple[str, str]:
    return _with(f"the executor has not seen the definition of engine {case.holder}", case.detail), (
        "goes on when it arrives; if it does not, see the executor's lag in `signalbox status`"
    )


def _rules_not_seen(case: Case) -> tuple[str, str]:
    return _with(f"the executor has not seen the rules of plan {case.plan}", case.detail), (
        "the planner sends them again by itself; see its state in `signalbox status`"
    )


def _approval(case: Case) -> tuple[str, str]:
    return _with(f"plan {case.plan} waits for approval", case.detail), "somebody with that right approves or rejects it"


def _previous_plan(case: Case) -> tuple[str, str]:
    return _with(f"plan {case.holder} goes first", case.detail), (
        f"starts when that one has ended: `signalbox plan show {case.holder}`"
    )


def _priority(case: Case) -> tuple[str, str]:
    first = f"plan {case.holder} goes" if case.kind == "plan" else "others with a higher priority go"
    return _with(f"{first} first", case.detail), (
        "goes on when the engine has room for both; "
        f"raise the priority with `signalbox plan rules {case.plan} --priority N`"
    )


def _person(case: Case) -> tuple[str, str]:
    """An engine that cannot tell what became of a run leaves that to a person."""
    if case.kind != "engine":
        return _with("a person has to decide", case.detail), f"see `signalbox task show {case.task}`"
    return _with(f"engine {case.holder} cannot tell what became of it", case.detail), (
        f"look there, and if nothing runs `signalbox task resolve {case.task} --retry --reason WHY` (or --fail; what "
        "runs after all is watched again with --adopt)"
    )


def _other(case: Case) -> tuple[str, str]:
    return _with(f"waits for {case.holder or 'something this gateway does not know'}", case.detail), (
        f"goes on{case.until or ' when that is free'}"
    )


WORDS: Final[Mapping[WaitReason, Words]] = {
    WaitReason.DEPENDENCY: _dependency,
    WaitReason.PLAN_LIMIT: _plan_limit,
    WaitReason.STEP_LIMIT: _step_limit,
    WaitReason.ENGINE_LIMIT: _engine_limit,
    WaitReason.START_RATE: _start_rate,
    WaitReason.BREAKER_OPEN: _breaker_open,
    WaitReason.ENGINE_PAUSED: _engine_paused,
    WaitReason.ENGINE_PENDING: _engine_pending,
    WaitReason.ENGINE_UNREACHABLE: _engine_unreachable,
    WaitReason.ENGINE_THROTTLED: _engine_throttled,
    WaitReason.FROZEN: _frozen,
    WaitReason.PLAN_PAUSED: _plan_paused,
    WaitReason.CANARY: _canary,
    WaitReason.RETRY_DELAY: _retry_delay,
    WaitReason.DEFINITION_NOT_SEEN: _definition_not_seen,
    WaitReason.RULES_NOT_SEEN: _rules_not_seen,
    WaitReason.APPROVAL: _approval,
    WaitReason.PREVIOUS_PLAN: _previous_plan,
    WaitReason.PRIORITY: _priority,
    WaitReason.PERSON: _person,
    WaitReason.OTHER: _other,
}
"""Every reason of the contracts has its words; a test compares them."""
