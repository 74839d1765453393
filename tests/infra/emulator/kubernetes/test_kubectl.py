"""Clusters of the local cloud under the real gcloud and kubectl, which nobody here wrote."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator

import pytest

from tests.conftest import PROJECT, LocalCloud
from tests.infra.emulator.emulated_cluster import make_cluster

TOOLS = ("gcloud", "kubectl", "gke-gcloud-auth-plugin")
pytestmark = pytest.mark.skipif(not all(map(shutil.which, TOOLS)), reason="gcloud and kubectl are not installed")
MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: "i:1", envFrom: [{configMapRef: {name: a}}]}]}
"""
Run = Callable[..., str]


@pytest.fixture(scope="module")
def kubectl(cloud: LocalCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """kubectl as `gcloud container clusters get-credentials` has configured it."""
    folder = tmp_path_factory.mktemp("kubectl")
    env = {**cloud.env, "KUBECONFIG": str(folder / "config"), "HOME": str(folder), "KUBECTL_APPLYSET": "true"}

    def run(*command: str, given: str = "") -> str:
        done = subprocess.run(command, env=env, input=given, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    make_cluster(cloud, "for-kubectl")
    run("gcloud", "container", "clusters", "get-credentials", "for-kubectl", "--location=europe-west1",
        f"--project={PROJECT}", "--quiet")  # fmt: skip
    yield lambda *arguments, **more: run("kubectl", *arguments, **more)


def test_objects_are_made_applied_scaled_and_pruned_and_the_namespace_ends(kubectl: Run) -> None:
    kubectl("create", "namespace", "shop")
    kubectl("-n", "shop", "create", "configmap", "a", "--from-literal=k=v")
    kubectl("-n", "shop", "create", "secret", "generic", "s", "--from-literal=p=x")
    kubectl("apply", "-f", "-", given=MANIFEST)
    kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", given=MANIFEST.replace("i:1", "i:2"))
    assert "Pending" in kubectl("-n", "shop", "get", "pods")
    kubectl("-n", "shop", "scale", "deployment", "web", "--replicas=0")
    assert kubectl("-n", "shop", "get", "pods", "-o", "name") == ""
    kubectl("-n", "shop", "delete", "deployment", "web")
    for name in ("one", "two"):
        text = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "shop"}})
        kubectl("-n", "shop", "apply", "--prune", "--applyset=configmaps/parent", "-f", "-", given=text)
    left = kubectl("-n", "shop", "get", "configmaps", "-o", "name").split()
    assert left == ["configmap/a", "configmap/kube-root-ca.crt", "configmap/parent", "configmap/two"]
    kubectl("delete", "namespace", "shop")
    assert "namespace/shop" not in kubectl("get", "namespaces", "-o", "name")
