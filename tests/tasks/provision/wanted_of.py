"""What an environment wants, for tests of what is decided about it."""

from __future__ import annotations

from textwrap import indent

from tasks.manifest.loading import parse_manifest
from tasks.provision.wanted import Wanted

HEAD = """\
app: shop
services: {web: {}}
environments:
  production:
    project: acme-prod
    regions: [europe-west1]
"""
EVERYTHING = """\
gateway: {openapi: api.yaml, api_key: true, service_account: shop-gateway}
accounts: {shop-gateway: {roles: [roles/run.invoker]}, shop-jobs: }
roles: {"group:ops@example.com": [roles/viewer]}
secrets: {db-password: {readers: [shop-gateway, "group:ops@example.com"]}}
buckets: {uploads: , logs: {name: acme-logs, location: europe-west4, versioning: true}}
apis: [pubsub.googleapis.com]
"""


def wanted_of(provision: str = EVERYTHING, openapi: bytes = b"swagger: '2.0'") -> Wanted:
    manifest = parse_manifest(HEAD + "    provision:\n" + indent(provision, "      "))
    settings = manifest.environment("production")
    assert settings.provision is not None
    return Wanted("shop", "production", settings, settings.provision, openapi)
