"""A service with settings of all kinds, made by somebody else: a release changes its image, and nothing else at all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from google.cloud import secretmanager
from prefect.logging import disable_run_logger

from infra.gcp.run import services
from infra.gcp.run.traffic import TrafficTarget
from tasks.analysis.probes import ANSWERS
from tasks.drift.compare import compare
from tasks.model import Candidate, Outcome
from tasks.rollout.restore import give_back
from tasks.rollout.whole import to_change
from tests.conftest import PROJECT
from tests.infra.emulator.emulated_run import HELLO, PARENT, REGION, Run
from tests.tasks.rollout.test_base import Adopted

pytestmark = pytest.mark.usefixtures("cloud_env")

MOUNTS = {"sql": "/cloudsql", "bucket": "/bucket", "share": "/share", "scratch": "/scratch", "file": "/secrets"}
THEIRS: dict[str, Any] = {
    "description": "the shop",
    "labels": {"team": "web"},
    "annotations": {"note": "by hand"},
    "ingress": "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER",
    "scaling": {"scalingMode": "MANUAL", "manualInstanceCount": 2},
    "invokerIamDisabled": True,
    "defaultUriDisabled": True,
    "customAudiences": ["https://shop.example.com"],
    "binaryAuthorization": {"useDefault": True},
    "template": {
        "labels": {"cost": "shop"},
        "annotations": {"note": "of the revision"},
        "timeout": "60s",
        "maxInstanceRequestConcurrency": 12,
        "executionEnvironment": "EXECUTION_ENVIRONMENT_GEN2",
        "sessionAffinity": True,
        "vpcAccess": {
            "networkInterfaces": [{"network": "default", "subnetwork": "default", "tags": ["web"]}],
            "egress": "ALL_TRAFFIC",
        },
        "volumes": [
            {"name": "sql", "cloudSqlInstance": {"instances": [f"{PROJECT}:{REGION}:main"]}},
            {"name": "bucket", "gcs": {"bucket": "acme-files", "readOnly": True}},
            {"name": "share", "nfs": {"server": "10.0.0.2", "path": "/share"}},
            {"name": "scratch", "emptyDir": {"medium": "MEMORY", "sizeLimit": "64Mi"}},
            {"name": "file", "secret": {"secret": "kept-file", "items": [{"path": "key", "version": "latest"}]}},
        ],
        "containers": [
            {
                "name": "app",
                "image": HELLO,
                "ports": [{"name": "h2c", "containerPort": 9000}],
                "resources": {"limits": {"cpu": "2", "memory": "2Gi"}, "startupCpuBoost": True},
                "env": [{"name": "KEY", "valueSource": {"secretKeyRef": {"secret": "kept-file", "version": "1"}}}],
                "volumeMounts": [{"name": name, "mountPath": path} for name, path in MOUNTS.items()],
                "dependsOn": ["proxy"],
            },
            {"name": "proxy", "image": HELLO, "startupProbe": {"tcpSocket": {"port": 5432}, "periodSeconds": 5}},
        ],
    },
}
# What a release says of itself on a revision.
OURS = (
    "template.labels[slipway-*",
    "template.labels[managed-by]",
    "template.annotations[slipway-*",
    "template.revision",
)


async def test_a_release_keeps_settings_of_every_kind_and_so_does_one_that_fails() -> None:
    secrets = secretmanager.SecretManagerServiceClient()
    made = {"secret_id": "kept-file", "secret": {"replication": {"automatic": {}}}}
    secret = secrets.create_secret({"parent": f"projects/{PROJECT}", **made})
    secrets.add_secret_version({"parent": secret.name, "payload": {"data": b"x"}})
    account = f"serviceAccount:{secret.name.split('/')[1]}-compute@developer.gserviceaccount.com"
    policy = secrets.get_iam_policy(request={"resource": secret.name})
    policy.bindings.add(role="roles/secretmanager.secretAccessor", members=[account])
    secrets.set_iam_policy(request={"resource": secret.name, "policy": policy})
    theirs = Adopted()
    Run().services.create_service(
        parent=PARENT, service=services._message(THEIRS), service_id=f"{theirs.app}-web"
    ).result(timeout=60)
    with disable_run_logger():  # no test here is a run
        before = (await theirs.live()).service
        snapshot = replace((await theirs.live()).snapshot, serving=before.latest_ready, health=ANSWERS)
        wanted = await theirs.deploy()
        live = (await theirs.live()).service
        assert compare(before.body, {**live.body, "labels": THEIRS["labels"]}, ("traffic[*", *OURS)) == ()
        split = theirs.dark(before.latest_ready, wanted)
        candidate = Candidate(wanted.revision, wanted.tag, "", live.uri, snapshot, split, ANSWERS, whole=wanted.whole)
        assert to_change(candidate) == ()
        moved = (TrafficTarget(wanted.revision, 100, wanted.tag),)
        await services.set_traffic(theirs.name, moved, "", 60)
        ending = await give_back(theirs.request, candidate, (moved,), careful=False)
        assert ending.outcome is Outcome.TAKEN_BACK
        after = (await theirs.live()).service
    assert compare(before.body, after.body, ("traffic[tag=*", "labels[slipway-*", "labels[managed-by]")) == ()
    assert after.latest_created == before.latest_created
