"""What the forecast of a plan answers."""

from datetime import datetime

from signalbox_gateway.routes.answers import AnswerModel


class DurationsShown(AnswerModel):
    """Seconds of one item, and of how many items that is known."""

    fast: float
    middle: float
    slow: float
    samples: int


class ChangeShown(AnswerModel):
    """What would end the plan sooner, and how long the rest would take then."""

    what: str
    seconds: float


class ForecastShown(AnswerModel):
    """How long the rest takes, from fast to slow, and when the plan ends then."""

    durations: DurationsShown
    fast_seconds: float
    seconds: float
    slow_seconds: float
    ends_at: datetime
    earliest_end_at: datetime
    latest_end_at: datetime
    bound_by: str
    """`limit`, `engine`, `starts_per_minute`, or `items`: nothing but the items themselves."""
    changes: list[ChangeShown]


class PlanForecast(AnswerModel):
    """When a plan will end; `reason` says why there is no forecast."""

    plan_id: str
    items_left: int
    forecast: ForecastShown | None
    reason: str
