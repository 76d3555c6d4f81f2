"""When a plan stops itself: its canary failed, or too large a part of what ended has failed. Pure.

The executor already starts nothing more then, exactly; here the plan is ended because of it.
"""

from signalbox_contracts.definitions.rules import Rules
from signalbox_contracts.messages.plans import Counts


def why_stop(counts: Counts, rules: Rules) -> str:
    """Why the plan stops; empty if it goes on. Only items that ran count."""
    ended, failed = counts.succeeded + counts.failed, counts.failed
    canary, brake = rules.canary, rules.brake
    if canary is not None and ended >= canary.first and failed > canary.max_failures and ended <= canary.first:
        return f"the canary failed: {failed} of the first {ended} failed, at most {canary.max_failures} may"
    if brake is not None and ended >= brake.after_items and failed >= brake.failure_ratio * ended:
        return f"the brake stopped it: {failed} of {ended} failed, {brake.failure_ratio:.0%} is the limit"
    return ""
