"""The engine under the Role we ship, and under one that lacks verbs."""

import base64
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes_asyncio.config import incluster_config

from engines.harness import engine_context
from engines.kubernetes.harness import Harness, shell_work
from engines.kubernetes.scenarios import complete_log, ended, new_submission, watched
from signalbox_contracts.messages.tasks import Phase
from signalbox_executor.engines.kubernetes.adapter import KubernetesEngine
from signalbox_executor.engines.kubernetes.kind import open_engine
from signalbox_executor.engines.port import EngineRefused, EngineUnavailable

pytestmark = pytest.mark.engine
MANIFESTS = Path(__file__).parents[3] / "k8s" / "engines" / "kubernetes"
SEED_ROLE = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "Role",
    "metadata": {"name": "seed"},
    "rules": [
        {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create", "get", "list", "watch", "delete"]},
        {"apiGroups": [""], "resources": ["configmaps", "secrets"], "verbs": ["create", "get", "delete"]},
    ],
}
"""What the document of the reprocessing system grants."""


async def as_account(harness: Harness, account: str) -> KubernetesEngine:
    """An adapter with the token of a service account, opened as a definition with a kubeconfig in a secret is."""
    token = harness.kubectl("create", "token", account).strip()
    authority = base64.b64encode(Path(harness.cluster.certificates.path("ca.crt")).read_bytes()).decode()
    cluster = {"server": harness.cluster.url, "certificate-authority-data": authority}
    document = yaml.safe_dump(
        {
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": {"token": token}}],
            "contexts": [{"name": "d", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "d",
        }
    )

    class Resolver:
        async def resolve(self, *references: str) -> dict[str, str]:
            return dict.fromkeys(references, document)

    context = engine_context({"egress_allow": "127.0.0.0/8"})
    definition = harness.definition(config="secret://cluster")
    engine = await open_engine(definition, replace(context, secrets=Resolver()))
    assert isinstance(engine, KubernetesEngine)
    return engine


async def test_everything_works_under_the_role_we_ship(harness: Harness) -> None:
    harness.kubectl("apply", "-k", str(MANIFESTS))
    engine = await as_account(harness, "signalbox-executor")
    harness.engine, kept = engine, harness.engine
    try:
        details = await engine.test_connection()
        assert details["namespace"] == harness.namespace
        submission = new_submission(
            shell_work("cat /config/job/*", files={"a": "of a file\n"}, secret_files={"b": "of a secret file\n"}),
            secrets=("of a secret file\n",),
        )
        await engine.submit(submission)
        assert (await ended(harness, submission)).phase is Phase.SUCCEEDED
        assert await complete_log(harness, submission) == b"of a file\nof a secret file\n"
        assert await engine.secrets(watched(submission)) == {"of a secret file\n"}
        stuck = new_submission(shell_work("true", node_selector={"none": "such"}))
        await engine.submit(stuck)
        await engine.suspend(watched(stuck))
        await engine.cancel(watched(stuck))
        assert (await ended(harness, stuck)).phase is Phase.KILLED
        assert await engine.seal(watched(new_submission(shell_work("true")))) is None
    finally:
        harness.engine = kept
        await engine.close()


async def test_a_role_that_lacks_verbs_is_answered_with_their_names(harness: Harness) -> None:
    harness.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "seed"}})
    harness.apply(SEED_ROLE)
    harness.kubectl("create", "rolebinding", "seed", "--role=seed", f"--serviceaccount={harness.namespace}:seed")
    engine = await as_account(harness, "seed")
    try:
        with pytest.raises(EngineRefused) as refused:
            await engine.test_connection()
        names = "patch jobs, list pods, get pods/log, list events, get namespaces"
        assert names in refused.value.reason
    finally:
        await engine.close()


async def test_an_account_without_any_right_refuses_work_and_says_nothing_of_runs(harness: Harness) -> None:
    harness.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "nobody"}})
    engine = await as_account(harness, "nobody")
    submission = new_submission(shell_work("true"))
    try:
        with pytest.raises(EngineRefused, match='cannot create resource "jobs"'):
            await engine.submit(submission)
        with pytest.raises(EngineUnavailable, match='cannot list resource "jobs"'):
            await engine.observe([watched(submission)])
    finally:
        await engine.close()


async def test_secret_variables_are_not_in_the_pod(harness: Harness) -> None:
    secret = "swordfish-42"
    work = shell_work(
        '[ "$PASSWORD" = "$(echo swordfish)-42" ] || exit 3', environment={"PASSWORD": secret, "PLAIN": "x"}
    )
    submission = new_submission(work, secrets=(secret,))
    await harness.engine.submit(submission)
    assert (await ended(harness, submission)).phase is Phase.SUCCEEDED
    assert secret not in json.dumps(harness.objects("jobs,pods,configmaps"))
    assert await harness.adapter.secrets(watched(submission)) == {secret}


async def test_inside_the_cluster_a_token_that_was_replaced_is_read_again(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pod's token lasts an hour: the kubelet replaces its file."""
    harness.kubectl("apply", "-k", str(MANIFESTS))
    (tmp_path / "token").write_text("one.that.expired")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(harness.cluster.certificates.path("ca.crt")))
    monkeypatch.setattr(incluster_config, "TOKEN_REFRESH_PERIOD", timedelta(0))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", harness.cluster.address)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    engine: Any = await harness.open(config="local")
    try:
        with pytest.raises((EngineUnavailable, EngineRefused)):
            await engine.test_connection()
        (tmp_path / "token").write_text(harness.kubectl("create", "token", "signalbox-executor").strip())
        assert (await engine.test_connection())["namespace"] == harness.namespace
    finally:
        await engine.close()


async def test_an_address_with_a_token_and_a_certificate_is_enough(harness: Harness) -> None:
    harness.kubectl("apply", "-k", str(MANIFESTS))
    values = {
        "secret://token": harness.kubectl("create", "token", "signalbox-executor").strip(),
        "secret://authority": Path(harness.cluster.certificates.path("ca.crt")).read_text(),
    }

    class Resolver:
        async def resolve(self, *references: str) -> dict[str, str]:
            return {reference: values[reference] for reference in references}

    context = engine_context({"egress_allow": "127.0.0.0/8"})
    definition = harness.definition(
        server=harness.cluster.url, token="secret://token", ca_certificate="secret://authority"
    )  # fmt: skip
    engine: Any = await open_engine(definition, replace(context, secrets=Resolver()))
    try:
        assert (await engine.test_connection())["namespace"] == harness.namespace
    finally:
        await engine.close()
