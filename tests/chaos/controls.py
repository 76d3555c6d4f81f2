"""Negative controls: stacks with a known defect, which the judge must see.

Their services die where the defect shows, at a named crash point: chance would need a longer run to find it.
"""

from dataclasses import replace
from typing import Final

from chaos.run import SHORT, Profile
from chaos.world import SERVICES, Shape

_CONTROL: Final = replace(SHORT, tasks=120, seconds=10, patience_seconds=20, amounts={})
FENCE_IN_KEY: Final[Profile] = replace(
    _CONTROL,
    name="fence-in-key",
    shape=Shape(brokers=1, replaced={"executor": "fence_in_key.py"}, armed={"executor": "executor.before_record:5"}),
    # long enough to be alive when the task is taken over
    script={"run_seconds": 12, "answer_delay_seconds": 0.5},
)
"""A taken-over task is started again beside its first run."""
COMMIT_FIRST: Final[Profile] = replace(
    _CONTROL,
    name="commit-first",
    shape=Shape(
        brokers=1,
        replaced={one.name: "commit_first.py" for one in SERVICES},
        armed={one.name: "control.committed" for one in SERVICES},
    ),
)
"""Messages that were being handled when a service was killed are lost."""
NO_LIMIT: Final[Profile] = replace(
    _CONTROL,
    name="no-limit",
    shape=Shape(brokers=1, replaced={"executor": "../../e2e/entries/no_plan_limit.py"}),
    script={"run_seconds": 2},
)
"""The claim does not look at the limits of plans."""
CONTROLS: Final = {profile.name: profile for profile in (FENCE_IN_KEY, COMMIT_FIRST, NO_LIMIT)}
