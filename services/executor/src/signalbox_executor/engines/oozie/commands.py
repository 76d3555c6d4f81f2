"""The `oozie` command line that does what we do, for people who want to do or check it by hand. Pure."""

import shlex

from signalbox_contracts.definitions.work import OozieWork
from signalbox_contracts.messages.operations import OozieControlData, OozieShowData
from signalbox_executor.engines.oozie.configuration import APPLICATION_PATHS, FAIL_NODES, SKIP_NODES
from signalbox_executor.engines.oozie.control import change_value
from signalbox_executor.engines.oozie.handles import parse_id
from signalbox_executor.engines.oozie.skip_list import as_property


def equivalent(url: str, work: OozieWork) -> str:
    """What a person would type. Our run key is left out: only we need it."""
    words = ["oozie", "job", "-oozie", url]
    properties = dict(work.properties)
    if work.mode == "submit":
        properties[APPLICATION_PATHS[work.object]] = work.application_path or ""
        return shlex.join([*words, "-run", *_properties(properties)])
    target = parse_id(work.target or "")
    if target.type == "workflow":
        names = as_property(work.skip_nodes) if work.scope is None else f"<{work.scope.replace('_', ' ')}>"
        listed = {**properties, FAIL_NODES: "false", SKIP_NODES: names}  # a stored `failnodes` forbids a list (E0404)
        return shlex.join([*words, "-rerun", str(target), *_properties(listed)])
    refresh = ["-refresh"] if work.refresh else []
    keep = [] if work.clean_up else ["-nocleanup"]
    return shlex.join(
        [*words, "-rerun", target.job, "-action", target.action or "", *refresh, *keep, *_properties(properties)]
    )


def control_equivalent(url: str, request: OozieControlData) -> str:
    """What a person would type to control a job."""
    words = ["oozie", "job", "-oozie", url, f"-{request.action}", request.job.partition("@")[0]]
    numbers = request.numbers or ((request.job.partition("@")[2],) if "@" in request.job else ())
    if numbers:
        words += ["-action", ",".join(str(number) for number in numbers)]
    if request.action == "change":
        words += ["-value", change_value(request.end_at, request.concurrency, request.pause_at)]
    return shlex.join(words)


def show_equivalent(url: str, request: OozieShowData) -> str:
    """What a person would type to read a text of a job."""
    option = {"configuration": "-configcontent"}.get(request.document, f"-{request.document}")
    job, _, number = request.job.partition("@")
    if request.document in ("info", "configuration"):
        return shlex.join(["oozie", "job", "-oozie", url, option, request.job])
    return shlex.join(["oozie", "job", "-oozie", url, option, job, *(["-action", number] if number else [])])


def _properties(properties: dict[str, str]) -> list[str]:
    return [f"-D{name}={value}" for name, value in sorted(properties.items())]
