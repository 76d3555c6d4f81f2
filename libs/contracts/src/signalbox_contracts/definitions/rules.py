"""Rules of work: how often to try, how long to wait, how much at once."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from signalbox_contracts.vocabulary import PerMinute, Seconds, Value

OnUnknown = Literal["hold", "fail", "retry"]
"""What to do when an engine cannot tell what became of an attempt: wait for a person, give up, or risk a second run."""

Priority = Annotated[int, Field(ge=0, le=100)]
"""Higher goes first; 50 is ordinary."""

Cause = Literal["failed", "timed_out", "lost"]


class Retries(Value):
    """How often the work itself may be tried, and which ends are worth another try.

    Faults of the infrastructure (an engine that lost the run, an executor that died) have their own budget and do not
    use up attempts; a refusal by the engine is never retried.
    """

    max_attempts: Annotated[int, Field(ge=1, le=100)] = 1
    retry_on: tuple[Cause, ...] = ("failed", "timed_out", "lost")
    retry_on_exit_codes: Annotated[tuple[Annotated[int, Field(ge=0, le=255)], ...], Field(max_length=256)] | None = None
    infrastructure_attempts: Annotated[int, Field(ge=0, le=100)] = 10
    delay_seconds: Annotated[Seconds, Field(le=86_400)] = 5
    max_delay_seconds: Annotated[Seconds, Field(le=86_400)] = 600

    @model_validator(mode="after")
    def _delays_in_order(self) -> Self:
        if self.max_delay_seconds < self.delay_seconds:
            raise ValueError(
                f"max_delay_seconds {self.max_delay_seconds:g} must be at least delay_seconds {self.delay_seconds:g}"
            )
        return self


class TimeLimits(Value):
    """How long a task may stay in a state, and altogether. None means no limit of its own."""

    queued_seconds: Seconds | None = None
    submitting_seconds: Seconds | None = None
    running_seconds: Seconds | None = None
    cancelling_seconds: Seconds | None = None
    total_seconds: Seconds | None = None


class Canary(Value):
    """Run the first items alone, and go on only when enough of them succeeded."""

    first: Annotated[int, Field(ge=1, le=100_000)]
    max_failures: Annotated[int, Field(ge=0, le=100_000)] = 0


class Brake(Value):
    """Stop a plan when too large a part of what ended has failed."""

    failure_ratio: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
    after_items: Annotated[int, Field(ge=1, le=100_000)] = 20


class Rules(Value):
    """How a plan runs. `limit` is how many of its tasks may hold a slot at once, changeable while it runs."""

    limit: Annotated[int, Field(ge=0, le=100_000)] | None = None
    starts_per_minute: Annotated[PerMinute, Field(le=1_000_000)] | None = None
    priority: Priority = 50
    canary: Canary | None = None
    brake: Brake | None = None
    order: Literal["oldest_first", "newest_first"] = "oldest_first"
