"""The Kubernetes engine that the environment names."""

import pytest
from pydantic import SecretStr, ValidationError

from signalbox_contracts.definitions.engine import KubernetesConnection
from signalbox_executor.engines.kubernetes.settings import KubernetesEngineSettings
from signalbox_gateway.default_engines import named_engines
from signalbox_gateway.settings import GatewaySettings


def settings() -> GatewaySettings:
    return GatewaySettings(
        kafka_bootstrap="127.0.0.1:1", database_url=SecretStr("postgresql://nobody@127.0.0.1:1/none")
    )


def test_the_reprocessing_managers_variables_name_the_default_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K8S_CONFIG_PATH", "local")
    monkeypatch.setenv("K8S_NAMESPACE", "jobs")
    monkeypatch.setenv("K8S_MAX_PARALLEL_WORKERS", "4")
    monkeypatch.setenv("KUBERNETES_NODE_SELECTOR", '{"disktype": "ssd"}')
    (engine,) = named_engines(settings())
    assert (engine.id, engine.labels) == ("kubernetes", {"default": "true"})
    assert engine.connection == KubernetesConnection(
        config="local", namespace="jobs", node_selector={"disktype": "ssd"}, max_parallel_workers=4
    )


def test_without_a_path_there_is_no_default_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K8S_NAMESPACE", "jobs")
    assert named_engines(settings()) == []


@pytest.mark.parametrize("text", ["disktype=ssd", "[]", '{"disktype": 1}', '{"": "x"}'])
def test_a_node_selector_that_is_no_object_of_texts_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("KUBERNETES_NODE_SELECTOR", text)
    with pytest.raises(ValidationError, match="only a JSON object of texts is allowed"):
        settings()


def test_the_named_kubeconfig_is_a_file_that_executors_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K8S_CONFIG_PATH", "/etc/signalbox/kubeconfig")
    monkeypatch.setenv("SIGNALBOX_KUBERNETES_CONFIG_FILES", "/a,/b")
    assert KubernetesEngineSettings().allowed_files == {"/a", "/b", "/etc/signalbox/kubeconfig"}
