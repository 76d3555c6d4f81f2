"""Which nodes a rerun skips, pure. `failnodes=true` is never sent: it freezes decisions (seen on 5.2.1)."""

from collections.abc import Sequence
from typing import Final, Literal

from signalbox_executor.engines.oozie.answers import NodeAnswer

Scope = Literal["all", "skip_successful", "only_failed", "nodes"]
NOTHING: Final = ","
"""A skip list of no node. It must be sent: an earlier list is stored with the job and would be used again."""


class NodesRefused(ValueError):
    """The chosen nodes cannot be rerun; the text names them."""


def skippable(actions: Sequence[NodeAnswer]) -> list[str]:
    """The nodes that may be skipped, sorted: done, no decision, no control node.

    A skipped decision would take its old branch without looking, and a skipped ERROR node ends at the old kill node.
    """
    return sorted(
        node.name for node in actions if node.status == "OK" and node.type != "switch" and not node.type.startswith(":")
    )


def skip_nodes(scope: Scope, actions: Sequence[NodeAnswer], chosen: Sequence[str] = ()) -> list[str]:
    """The nodes to skip so that exactly `scope` runs. Raises `NodesRefused`."""
    done = skippable(actions)
    if scope == "all":
        return []
    if scope != "nodes":
        return done
    work = {node.name: node for node in actions if not node.type.startswith(":") and node.type != "switch"}
    unknown = sorted(set(chosen) - set(work))
    if not chosen:
        raise NodesRefused("nodes is empty: name at least one action")
    if unknown:
        ran = ", ".join(sorted(work)[:20]) or "none"
        raise NodesRefused(f"{', '.join(unknown[:10])} never ran in this workflow; its actions are {ran}")
    return [name for name in done if name not in chosen]


def check_skip_list(wanted: Sequence[str], actions: Sequence[NodeAnswer]) -> None:
    """Refuse (`NodesRefused`) a list with a node that is not done, before Oozie would accept it and do harm."""
    done = set(skippable(actions))
    by_name = {node.name: node for node in actions}
    for name in wanted:
        if name not in done:
            node = by_name.get(name)
            state = f"{node.type} {node.status}" if node else "not in this workflow's last run"
            raise NodesRefused(f"{name} is {state}: only actions with status OK can be skipped")


def check_work_is_left(names: Sequence[str], status: str, actions: Sequence[NodeAnswer]) -> None:
    """Refuse (`NodesRefused`) a rerun of a workflow that SUCCEEDED in which nothing would run.

    Oozie accepts it (seen on 5.2.1): `run` goes up, and it says SUCCEEDED at once. A decision may decide otherwise now.
    """
    if status != "SUCCEEDED" or not names or any(node.type == "switch" for node in actions):
        return
    if set(skippable(actions)) <= set(names):
        raise NodesRefused("nothing would run: it SUCCEEDED, and every action is skipped; scope `all` reruns it")


def as_property(names: Sequence[str]) -> str:
    """The value of `oozie.wf.rerun.skip.nodes`."""
    return ",".join(names) or NOTHING
