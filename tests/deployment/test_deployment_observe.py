"""Alert rules, their runbooks and the dashboards fit each other and the metrics that services export."""

import json
import re
import shutil
import subprocess
from typing import Any, cast

import pytest
import yaml

from deployment.compose_stack import HOME

OBSERVE = HOME / "compose/observe"
RULES = OBSERVE / "prometheus/alerts.yml"
METRIC = re.compile(r"\bsignalbox_[a-z_]+")
DECLARED = re.compile(r'(Gauge|Counter|Histogram)\(\s*"(signalbox_[a-z_]+)"')


def rules() -> list[dict[str, Any]]:
    return cast("list[dict[str, Any]]", yaml.safe_load(RULES.read_text())["groups"][0]["rules"])


def declared() -> set[str]:
    """Every name under which Prometheus sees a metric of the sources."""
    names: set[str] = set()
    for folder in ("libs/chassis/src", "services"):
        for file in (HOME / folder).rglob("*.py"):
            for kind, name in DECLARED.findall(file.read_text()):
                names |= {f"{name}_bucket", f"{name}_sum", f"{name}_count"} if kind == "Histogram" else {name}
    return names


def dashboards() -> dict[str, dict[str, Any]]:
    return {file.stem: json.loads(file.read_text()) for file in sorted((OBSERVE / "grafana/dashboards").glob("*.json"))}


def test_every_alert_has_a_page_that_says_what_to_do() -> None:
    for rule in rules():
        page = HOME / rule["annotations"]["runbook"]
        assert page.is_file(), rule["alert"]
        assert f"`{rule['alert']}`" in page.read_text()
        assert rule["labels"]["severity"] in ("critical", "warning")


def test_rules_and_dashboards_ask_for_metrics_that_there_are() -> None:
    known = declared()
    expressions = [rule["expr"] for rule in rules()]
    shown = dashboards()
    assert set(shown) == {"signalbox-overview", "signalbox-service", "signalbox-engines"}
    for board in shown.values():
        assert board["panels"]
        expressions += [target["expr"] for panel in board["panels"] for target in panel["targets"]]
        expressions += [one["query"] for one in board["templating"]["list"]]
    for expression in expressions:
        assert set(METRIC.findall(expression)) <= known, expression


def test_the_table_for_people_on_call_names_metrics_that_there_are() -> None:
    page = (HOME / "docs/operations.md").read_text()
    table = page.partition("## Metrics to read first")[2].partition("\n## ")[0]
    named = {f"signalbox_{name}" for name in re.findall(r"`([a-z]+(?:_[a-z]+)+|plans)`", table)}
    assert len(named) >= 15
    assert named <= {name.removesuffix("_count") for name in declared()}


def test_prometheus_scrapes_every_service_of_the_compose_file() -> None:
    services = yaml.safe_load((HOME / "compose/compose.yaml").read_text())["services"]
    ours = {name for name, service in services.items() if "SIGNALBOX_KAFKA_BOOTSTRAP" in service.get("environment", {})}
    configuration = yaml.safe_load((OBSERVE / "prometheus/prometheus.yml").read_text())
    assert set(configuration["scrape_configs"][0]["dns_sd_configs"][0]["names"]) == ours - {"provision"}


def test_a_service_whose_last_container_stopped_is_missed() -> None:
    """Its name is then gone from the DNS, and with it the target: `up` is not 0 but absent."""
    rule = next(rule for rule in rules() if rule["alert"] == "SignalboxServiceDown")
    configuration = yaml.safe_load((OBSERVE / "prometheus/prometheus.yml").read_text())
    names = set(configuration["scrape_configs"][0]["dns_sd_configs"][0]["names"])
    assert set(re.findall(r'absent\(up\{job="signalbox", service="([a-z-]+)"\}\)', rule["expr"])) == names


def test_the_pod_monitor_gives_the_labels_that_rules_and_dashboards_ask_for() -> None:
    """The operator's own job is NAMESPACE/NAME: each `absent(up{job="signalbox", …})` would fire for ever."""
    monitor = yaml.safe_load((HOME / "k8s/components/monitoring/podmonitor.yaml").read_text())
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    made = {one["targetLabel"]: one.get("replacement") for one in endpoint["relabelings"]}
    assert made == {"service": None, "job": "signalbox"}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed: apt-get install prometheus")
@pytest.mark.parametrize("words", [("check", "config", "prometheus.yml"), ("test", "rules", "alerts_test.yml")])
def test_promtool_takes_the_rules_and_each_alert_fires(words: tuple[str, ...]) -> None:
    done = subprocess.run(
        ["promtool", *words], cwd=OBSERVE / "prometheus", capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_is_made_to_fire() -> None:
    """Without this a rule could be there that never fires."""
    tested = yaml.safe_load((OBSERVE / "prometheus/alerts_test.yml").read_text())["tests"][0]["alert_rule_test"]
    fired = {one["alertname"] for one in tested if one["exp_alerts"]}
    assert fired == {rule["alert"] for rule in rules()}
