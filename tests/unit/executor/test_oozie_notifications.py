"""Which jobs of an Oozie engine are given our notification URL: only those that have none of their own."""

from signalbox_chassis.security.run_hints import PATH, hint_keys, hint_url
from signalbox_executor.engines.oozie.configuration import to_xml
from signalbox_executor.engines.oozie.notifications import ACTION, WORKFLOW, Notifications

KEY = "sb-00000000-0000-0000-0000-000000000001-1"
KEYS = hint_keys("A" * 43 + "=")
OURS = Notifications("oozie-prod", "http://signalbox:8000", KEYS)
URL = hint_url(KEYS, "http://signalbox:8000", "oozie-prod", KEY)


def stored(name: str, value: str) -> str:
    return to_xml({"a": "1", name: value, "z": "2"}).decode()


def test_workflows_report_and_coordinators_report_their_actions_and_workflows() -> None:
    assert OURS.properties(KEY, {}, object="workflow") == {WORKFLOW: URL}
    assert OURS.properties(KEY, {}, object="coordinator") == {WORKFLOW: URL, ACTION: URL}
    assert OURS.properties(KEY, {}, object="bundle") == {WORKFLOW: URL, ACTION: URL}
    assert OURS.properties(KEY, {ACTION: "http://mine"}, object="coordinator") == {WORKFLOW: URL}


def test_nothing_is_set_without_an_address_or_without_a_key() -> None:
    for none in (Notifications("e", None, KEYS), Notifications("e", "http://signalbox:8000", ())):
        assert not none.enabled
        assert none.properties(KEY, {}, object="workflow") == {}


def test_an_own_address_is_never_replaced_and_one_of_an_earlier_run_is() -> None:
    mine = "http://mine/wf?job=$jobId&status=$status"
    assert OURS.properties(KEY, {WORKFLOW: mine}, object="workflow") == {}
    assert OURS.properties(KEY, {}, stored(WORKFLOW, mine), object="workflow") == {}
    assert OURS.properties(KEY, {}, None, stored(WORKFLOW, mine), object="workflow") == {}
    assert OURS.properties(KEY, {}, stored(ACTION, mine), object="workflow") == {WORKFLOW: URL}
    earlier = f"http://signalbox:8000{PATH}/oozie-prod/{KEY}/abc"
    assert OURS.properties(KEY, {}, stored(WORKFLOW, earlier), object="workflow") == {WORKFLOW: URL}
