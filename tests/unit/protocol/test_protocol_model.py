"""Every variant of the claim protocol gets the verdict it must have (docs/architecture/protocol-model.md)."""

from dataclasses import replace
from pathlib import Path

import pytest

from .invariants import Breach
from .model import RECOMMENDED, Model, model
from .search import check
from .state import LIVE, RUNNING, Row, phase_of
from .trace import breach, narrate, replay
from .variants import VARIANTS, Variant, named

RIGHT = [variant for variant in VARIANTS if variant.expected is None]
WRONG = [variant for variant in VARIANTS if variant.expected is not None]


@pytest.mark.parametrize("variant", RIGHT, ids=named)
def test_a_right_variant_is_safe_and_can_always_end(variant: Variant) -> None:
    verdict = check(variant.model)
    assert verdict.breach is None, "\n".join(narrate(variant.model, verdict))


@pytest.mark.parametrize("variant", WRONG, ids=named)
def test_a_wrong_variant_breaks_what_it_must_and_its_trace_replays(variant: Variant) -> None:
    """Without this a model that allows nothing would find everything safe."""
    verdict = check(variant.model)
    trace = "\n".join(narrate(variant.model, verdict))
    print(trace)
    assert verdict.breach == variant.expected, trace
    here = variant.model.start()
    for number, (_, label, after) in enumerate(steps := replay(variant.model, verdict), 1):
        found = breach(variant.model, here, after)
        breaks = number == len(steps) and verdict.breach is not Breach.STUCK
        assert found == (verdict.breach if breaks else None), label
        here = after


@pytest.mark.parametrize(
    "m",
    [
        model(workers=2, attempts=1),
        model(workers=2, without=["claim.own_row_lock"]),
        model(workers=2, attempts=1, without=["takeover.marks_dead", "renew.not_expired"]),
        model(workers=2, without=["observation.attempt"]),
        model(workers=2, without=["observation.state"]),
        model(workers=2, attempts=1, without=["record.state"], twins=True),
        model(workers=2, attempts=1, copies_repeat=False),
        model(workers=2, attempts=1, key_per_send=True, start_fence=True),
        model(workers=2, attempts=1, stale_answers=True, unknown_may_wait=True, unknown_may_be_false=True),
    ],
    ids=lambda m: " ".join(sorted(RECOMMENDED - m.guards)) or "all guards",
)
def test_the_reduction_changes_no_verdict(m: Model) -> None:
    small, full = check(m), check(replace(m, reduce=False))
    assert small.breach == full.breach
    assert len(small.path) == len(full.path), "the reduced search has lost the shortest trace"
    assert small.states < full.states


@pytest.mark.parametrize("guard", sorted(RECOMMENDED))
def test_every_guard_is_left_out_by_some_variant(guard: str) -> None:
    """A guard nobody leaves out is one the checker has no opinion on."""
    assert any(guard not in variant.model.guards for variant in VARIANTS)


def test_names_are_distinguished() -> None:
    assert len({named(variant) for variant in VARIANTS}) == len(VARIANTS)


def test_a_guard_with_a_wrong_name_is_refused() -> None:
    with pytest.raises(ValueError, match="no such guard"):
        model(plus=["intent.colour"])
    with pytest.raises(ValueError, match="not among the recommended"):
        model(without=["intent.owner"])


def test_a_trace_has_one_line_a_step_and_ends_with_what_broke() -> None:
    m = model(workers=2, cancel_submitting="at once")
    verdict = check(m)
    lines = narrate(m, verdict)
    assert len(lines) == len(replay(m, verdict)) + 1
    assert lines[-1].endswith(Breach.ORPHAN)
    assert any("cancel of t0: CANCELLED" in line for line in lines)


def test_a_running_row_may_outlive_its_run_but_never_the_other_way_round() -> None:
    """The invariants themselves: an orphan is seen in the state, whatever led there."""
    m = model(workers=2)
    s = m.start()
    running = Row(RUNNING, 1, 1, -1, False, 1, 0)
    with_run = s._replace(rows=(running,), sites=(s.sites[0]._replace(runs=((1, LIVE),)),))
    assert phase_of(with_run.sites[0], 1) == LIVE
    assert breach(m, s, with_run) is None
    ended = with_run._replace(rows=(running._replace(state="CANCELLED"),))
    assert breach(m, s, ended) == Breach.ORPHAN


def test_the_page_lists_every_variant_with_its_verdict() -> None:
    page = (Path(__file__).parents[3] / "docs/architecture/protocol-model.md").read_text()
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| ") and line.count(" | ") == 2]
    for variant in VARIANTS:
        verdict = f"**{variant.expected}** |" if variant.expected else "safe and live |"
        assert any(name == f"| {variant.name}" and end == verdict for name, _, end in rows), named(variant)
