"""What stands beside an app, through the whole clean-up flow: reported, then disabled, and only what nobody needs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from google.cloud.secretmanager_v1 import SecretManagerServiceClient

from flows.cleanup import cleanup
from tasks.cleanup.memory import read_memory, write_memory
from tests.conftest import PROJECT, LocalCloud
from tests.e2e.cleaning import BUCKET, RETENTION, SERVICES, Old, artifact, pointed_at
from tests.e2e.conftest import App

USED, LEFT = "estate-used", "estate-left-over"
MAY_GO = RETENTION.replace("}", ", foreign: {secrets: delete}, protect: ['*/secrets/[!e]*', '*/secrets/e[!s]*']}")


@pytest.fixture
async def shipped(tmp_path_factory: pytest.TempPathFactory, cloud: LocalCloud) -> AsyncIterator[Old]:
    """A release that is pinned to a version of a secret; beside it is one that nothing names."""
    with pointed_at(cloud):
        client = SecretManagerServiceClient()
        for name in (USED, LEFT):
            body: dict[str, Any] = {"replication": {"automatic": {}}}
            made = client.create_secret(request={"parent": f"projects/{PROJECT}", "secret_id": name, "secret": body})
            client.add_secret_version(request={"parent": made.name, "payload": {"data": b"1"}})
            let_read(client, made.name)
        old = Old(App(tmp_path_factory.mktemp("estate"), "estate"), cloud)
        old.app.manifest(SERVICES.replace("{health", f"{{secrets: {{KEY: {USED}}}, health"), top=RETENTION)
        await old.ship("v1.0.0")
        yield old


def let_read(client: SecretManagerServiceClient, secret: str) -> None:
    """The account that services run as."""
    account = f"serviceAccount:{secret.split('/')[1]}-compute@developer.gserviceaccount.com"
    policy = client.get_iam_policy(request={"resource": secret})
    policy.bindings.add(role="roles/secretmanager.secretAccessor", members=[account])
    client.set_iam_policy(request={"resource": secret, "policy": policy})


async def test_what_stands_beside_an_app_goes_only_where_slipway_yaml_names_its_kind(shipped: Old) -> None:
    client, left = SecretManagerServiceClient(), f"projects/{PROJECT}/secrets/{LEFT}"
    await cleanup(shipped.source)
    findings = {row["name"]: row["finding"] for row in await artifact("estate-cleanup-findings")}
    assert findings[left] == "foreign"
    assert f"projects/{PROJECT}/secrets/{USED}" not in findings

    shipped.app.manifest(SERVICES, top=MAY_GO)  # slipway.yaml forgets the secret; what runs is still pinned to it
    for kind in ("secrets", "secret versions"):
        body = {"kind": kind, "prefix": f"projects/{PROJECT}/secrets/estate-", "days": 3}
        httpx.post(f"{shipped.cloud.admin}/age", json=body, trust_env=False).raise_for_status()
    name = await cleanup(shipped.source, dry_run=False)
    assert client.get_secret_version(name=f"{left}/versions/1").state.name == "DISABLED"
    used = f"projects/{PROJECT}/secrets/{USED}"
    assert client.get_secret_version(name=f"{used}/versions/1").state.name == "ENABLED"
    said = (await shipped.journal(name))[left]
    assert f"undone by: gcloud secrets versions enable NUMBER --secret={LEFT} --project={PROJECT}" in said

    memory = await read_memory(BUCKET, "estate")
    week_ago = {left: datetime.now(UTC) - timedelta(days=8)}
    assert left in memory.taken
    await write_memory(BUCKET, "estate", replace(memory, taken={**memory.taken, **week_ago}))
    await cleanup(shipped.source, dry_run=False)
    assert LEFT not in {each.name.rpartition("/")[2] for each in client.list_secrets(parent=f"projects/{PROJECT}")}
    assert client.get_secret_version(name=f"{used}/versions/1").state.name == "ENABLED"
