"""What slipway.yaml says of clusters, and what of it contradicts itself over several environments."""

from __future__ import annotations

import pytest

from tasks.failures.errors import ManifestError
from tasks.manifest.loading import parse_manifest

PART = "kubernetes: {{cluster: main, namespaces: {namespaces}, selector: {{app: shop}}, manifests: k8s}}"
TWO = """
app: shop
services: {{api: {{}}}}
environments:
  staging:
    project: acme-prod
    regions: [europe-west1]
    {staging}
  production:
    project: acme-prod
    regions: [europe-west1]
    services: {{api: {{name: shop-live}}}}
    {production}
"""


def test_two_environments_may_share_a_cluster_and_no_namespace() -> None:
    def said(*namespaces: str) -> str:
        staging, production = (PART.format(namespaces=each) for each in namespaces)
        return TWO.format(staging=staging, production=production)

    found = parse_manifest(said("shop-staging", "[shop, shop-jobs]")).environment("production").kubernetes
    assert found
    assert found.namespaces == ("shop", "shop-jobs")
    with pytest.raises(ManifestError, match=r"namespaces\[1\]: namespace shop of this cluster is staging's already"):
        parse_manifest(said("shop", "[shop-jobs, shop]"))
