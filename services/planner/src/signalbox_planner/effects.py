"""What follows from a change of a plan, as values: `lifecycle` and `dispatch` decide them, `carrier` performs them.

Each effect is read together with the plan it belongs to, as that is when it is saved.
"""

from dataclasses import dataclass

from signalbox_planner.plan import Item, Stop


@dataclass(frozen=True, slots=True)
class PublishRules:
    """`plan.rules` as they are. Those of an ended plan are closed. Repeated rules have an event id of their own."""

    repeated: bool = False


@dataclass(frozen=True, slots=True)
class PublishItems:
    """`plan.items`: one page. A repeated page has the plan's version, so that readers keep it over the first one."""

    page: int
    items: tuple[Item, ...]
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class EnsureTasks:
    """`tasks.ensure` with the complete specs of these items."""

    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class QueryTasks:
    """`tasks.ensure` with ids only: the executor states these tasks, or names those it does not know."""

    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class CancelTasks:
    """`tasks.cancel` of these items, or of every task of the plan when there are none."""

    stop: Stop
    items: tuple[Item, ...] = ()


@dataclass(frozen=True, slots=True)
class EndItems:
    """Items that end without a task: they are saved in this state, and their pages are published again."""

    first: int
    end: int
    state: str
    reason: str


Effect = EndItems | PublishRules | PublishItems | EnsureTasks | QueryTasks | CancelTasks
