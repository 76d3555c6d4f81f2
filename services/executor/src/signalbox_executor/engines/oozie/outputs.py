"""Which directories a clean-up would delete: the output instances of a coordinator's actions.

Oozie deletes the output events of an action that is rerun without `nocleanup`. A dry run of the coordinator with its
own configuration starts nothing, and answers its datasets and its first action with everything resolved (5.2.1 shows
no more actions than its materialisation window holds). The other actions are computed from the datasets, and only
where the same computation gives the first action's directories exactly as Oozie resolved them.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from xml.etree import ElementTree

from signalbox_executor.engines.oozie.answers import CoordinatorAnswer, IdAnswer
from signalbox_executor.engines.oozie.configuration import EXTERNAL_ID, RUN_KEY, USER, parse
from signalbox_executor.engines.oozie.rest import OozieRefused, OozieRest
from signalbox_executor.engines.oozie.storage import Storage
from signalbox_executor.engines.port import EngineUnavailable

MAX_DIRECTORIES: Final = 100
_INSTANCE: Final = "***action for new instance"
_NAMESPACE: Final = re.compile(r"^\{[^}]*\}")
_ACTIONS: Final = "***actions for instance"
_CURRENT: Final = re.compile(r"\$\{\s*coord:current\(\s*(-?\d{1,6})\s*\)\s*\}")
_UNITS: Final = {"MINUTE": timedelta(minutes=1), "DAY": timedelta(days=1)}
_SEPARATOR: Final = "#"


class OutputsUnknown(Exception):
    """What a clean-up would delete cannot be listed; the text says why."""


@dataclass(frozen=True, slots=True)
class Output:
    """One output of every action: a dataset of UTC, and which of its instances, 0 being the action's own."""

    template: str
    first: datetime
    every: timedelta
    instances: tuple[int, ...]

    def directories(self, at: datetime) -> list[str]:
        """The directories of the action of this nominal time. Raises `OutputsUnknown`."""
        current = (at - self.first) // self.every
        times = [self.first + self.every * (current + number) for number in self.instances]
        return [self._resolved(time) for time in times if time >= self.first]

    def _resolved(self, time: datetime) -> str:
        names = {"YEAR": "%Y", "MONTH": "%m", "DAY": "%d", "HOUR": "%H", "MINUTE": "%M"}
        text = self.template
        for name, form in names.items():
            text = text.replace(f"${{{name}}}", time.strftime(form))
        if "${" in text:
            raise OutputsUnknown(f"its output {self.template[:200]} has an expression that is not a date")
        return text


@dataclass(frozen=True, slots=True)
class DryRun:
    """The outputs of a coordinator, and those of its first action as Oozie resolved them."""

    outputs: tuple[Output, ...]
    first_at: datetime
    first_directories: tuple[str, ...]

    def directories(self, at: datetime) -> tuple[str, ...]:
        """Every output directory of the action of this nominal time. Raises `OutputsUnknown`."""
        return tuple(dict.fromkeys(uri for output in self.outputs for uri in output.directories(at)))


class Outputs:
    """The outputs of the actions of one server's coordinators, each coordinator resolved once."""

    def __init__(self, rest: OozieRest, storage: Storage) -> None:
        self._rest = rest
        self._storage = storage

    async def of(self, coordinator: CoordinatorAnswer) -> DryRun:
        """What a dry run of the coordinator shows, checked against itself. Raises `OutputsUnknown`."""
        try:
            properties = parse(coordinator.conf or "")
        except ValueError as error:
            raise OutputsUnknown(str(error)) from None
        sent = {name: value for name, value in properties.items() if name not in (RUN_KEY, EXTERNAL_ID, USER) and value}
        try:
            answer = await self._rest.post(DryRunAnswer, "v2/jobs", sent, action="dryrun")
        except (OozieRefused, EngineUnavailable) as error:
            raise OutputsUnknown(f"a dry run of {coordinator.id} fails: {error}"[:400]) from None
        found = dry_run(answer.id)
        if set(found.directories(found.first_at)) != set(found.first_directories):
            raise OutputsUnknown("its datasets give other directories for the first action than Oozie itself")
        return found

    async def deletions(self, directories: tuple[str, ...]) -> tuple[str, ...]:
        """Each directory with its files, its size and its newest file."""
        if len(directories) > MAX_DIRECTORIES:
            raise OutputsUnknown(f"it has {len(directories)} output directories, more than {MAX_DIRECTORIES}")
        return tuple([f"{uri}: {await self._storage.describe(uri)}" for uri in directories])


class DryRunAnswer(IdAnswer):
    """The answer to a dry run: its id is a long text."""

    id: str = ""


def dry_run(text: str) -> DryRun:
    """The datasets and the first action of a dry run's text. Raises `OutputsUnknown`."""
    application, _, rest = text.partition(_ACTIONS)
    first = rest.split(_INSTANCE)[1] if _INSTANCE in rest else ""
    if "<!DOCTYPE" in text or not first:
        raise OutputsUnknown("the dry run shows no action")
    try:
        outputs = [_output(part) for part in _named(ElementTree.fromstring(application), "data-out")]
        action = ElementTree.fromstring(first[: first.rindex(">") + 1])
        at = _time(action.attrib["action-nominal-time"])
        shown = [uri for part in _named(action, "data-out") for uri in _texts(part, "uris")]
    except (ElementTree.ParseError, KeyError, ValueError, IndexError) as error:
        raise OutputsUnknown(f"the answer to the dry run cannot be read: {error}"[:300]) from None
    return DryRun(tuple(outputs), at, tuple(dict.fromkeys(uri for uris in shown for uri in uris.split(_SEPARATOR))))


def _output(part: ElementTree.Element) -> Output:
    dataset = _named(part, "dataset")[0]
    instances = _texts(part, "instance")
    numbers = [_CURRENT.fullmatch(text) for text in instances]
    unit, zone = dataset.get("freq_timeunit", ""), dataset.get("timezone", "")
    if not instances or not all(numbers):
        raise OutputsUnknown(
            f"its output is {', '.join(instances)[:100] or 'no instance'}: only coord:current(n) is known"
        )
    if unit not in _UNITS or zone not in ("UTC", "GMT"):
        raise OutputsUnknown(f"its output dataset counts in {unit or 'no unit'} of {zone or 'no zone'}")
    return Output(
        template=_texts(dataset, "uri-template")[0], first=_time(dataset.attrib["initial-instance"]),
        every=int(dataset.attrib["frequency"]) * _UNITS[unit],
        instances=tuple(int(found[1]) for found in numbers if found),
    )  # fmt: skip


def _named(root: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [part for part in root.iter() if _NAMESPACE.sub("", part.tag) == name]


def _texts(root: ElementTree.Element, name: str) -> list[str]:
    return [part.text.strip() for part in _named(root, name) if part.text and part.text.strip()]


def _time(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%MZ").replace(tzinfo=UTC)
