"""Requests to engines are counted by what came of them, also when they raise."""

from contextlib import nullcontext

import pytest
from prometheus_client import REGISTRY

from signalbox_executor.engines.port import EngineRefused, EngineThrottled, EngineUnavailable
from signalbox_executor.measurements import engine_request


def count(engine: str, outcome: str) -> float:
    labels = {"engine": engine, "operation": "submit", "outcome": outcome}
    return REGISTRY.get_sample_value("signalbox_engine_requests_total", labels) or 0.0


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "ok"),
        (EngineRefused("e", "no"), "refused"),
        (EngineThrottled("e", 1.0), "throttled"),
        (EngineUnavailable("e", "away"), "unavailable"),
        (TimeoutError(), "unavailable"),
        (KeyError("x"), "error"),
    ],
)
def test_a_request_is_counted_by_what_came_of_it(error: Exception | None, outcome: str) -> None:
    engine = f"engine of {outcome} {type(error).__name__}"
    with nullcontext() if error is None else pytest.raises(type(error)), engine_request(engine, "submit"):
        if error is not None:
            raise error
    assert {one: count(engine, one) for one in ("ok", "refused", "throttled", "unavailable", "error")} == {
        one: float(one == outcome) for one in ("ok", "refused", "throttled", "unavailable", "error")
    }
    submitted = REGISTRY.get_sample_value("signalbox_attempt_seconds_count", {"engine": engine, "phase": "submit"})
    assert submitted == (1.0 if outcome == "ok" else None)
