"""What a script can ask of the scripted engine. Unknown words are refused, so a typing error cannot make a test pass.

Counts (`lose_answers: 2`) are of submits of this run key since the server was started, each word in the order below.
"""

from pydantic import ConfigDict, JsonValue

from signalbox_contracts.messages.tasks import EndCause
from signalbox_contracts.vocabulary import Count, Seconds, Text, Value


class Script(Value):
    """One run. Without any word it succeeds at once."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # what happens to submits
    down_seconds: Seconds = 0
    """The first submit takes the whole engine down for so long: every call answers 503."""
    lose_requests: Count = 0
    """So many first submits are never seen: the connection closes without an answer."""
    throttle: Count = 0
    """So many first submits are asked to wait."""
    throttle_seconds: Seconds = 0.1
    refuse: Text = ""
    """Refused for good, for this reason."""
    refuse_after: Count = 0
    """The refusal begins after so many submits."""
    accept_delay_seconds: Seconds = 0
    lose_answers: Count = 0
    """So many first submits are accepted, or found there, and their answer is lost."""
    answer_delay_seconds: Seconds = 0

    # what the run does
    pending_seconds: Seconds = 0
    """How long it is `submitted` before it runs."""
    run_seconds: Seconds = 0
    never_ends: bool = False
    """It runs until it is cancelled."""
    held: bool = False
    """It runs until it is released, then for what is left of `run_seconds`."""
    ignore_cancels: Count = 0
    """So many first cancels do nothing."""
    stop_seconds: Seconds = 0
    """How long a heard cancel takes."""
    exit_code: int = 0
    """Anything but 0 fails."""
    cause: EndCause = EndCause.FAILED
    message: Text = ""
    result: JsonValue = None
    result_text: str | None = None
    """The result as the run would write it, right or wrong; wins over `result`."""
    log: str = ""
    forget_seconds: Seconds | None = None
    """So long after it was accepted the engine forgets the key: it is not found, and another submit starts it again."""
    forget_at_end: bool = False
