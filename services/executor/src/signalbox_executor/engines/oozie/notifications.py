"""Notification URLs: Oozie calls them when a job changes, and the executor then looks at the job sooner.

They are hints. No state comes from a call, and where none is set, or none arrives, polling finds the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from signalbox_chassis.security.run_hints import PATH, hint_url
from signalbox_executor.engines.oozie.configuration import value_of

WORKFLOW: Final = "oozie.wf.workflow.notification.url"
"""Called at each change of a workflow's state."""
ACTION: Final = "oozie.coord.action.notification.url"
"""Called when an action of a coordinator waits and when it runs. 5.2.1 does not call it at its end."""
_OF_OBJECT: Final = {"workflow": (WORKFLOW,), "coordinator": (WORKFLOW, ACTION), "bundle": (WORKFLOW, ACTION)}
"""Coordinators hand their properties on to their workflows, and these report the ends."""


@dataclass(frozen=True, slots=True)
class Notifications:
    """Gives jobs of one engine the addresses to call; without an address or keys it gives none."""

    engine_id: str
    base_url: str | None
    keys: Sequence[bytes]

    @property
    def enabled(self) -> bool:
        """Whether it gives any."""
        return self.base_url is not None and bool(self.keys)

    def properties(self, run_key: str, own: Mapping[str, str], *stored: str | None, object: str) -> dict[str, str]:
        """The properties to add to a job of this kind (`workflow`, `coordinator`, `bundle`); none that is set already.

        `own` are the properties that are sent; `stored` are configurations that Oozie keeps and merges them into. An
        address of ours there belongs to an earlier run, and is replaced.
        """
        if self.base_url is None or not self.keys:
            return {}
        url = hint_url(self.keys, self.base_url, self.engine_id, run_key)
        values = {name: [own.get(name, ""), *(value_of(conf, name) for conf in stored)] for name in _OF_OBJECT[object]}
        return {name: url for name, found in values.items() if all(not value or PATH in value for value in found)}
