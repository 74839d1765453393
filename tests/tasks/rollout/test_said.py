"""What slipway.yaml says, in the words of Cloud Run's API; and the local Cloud Run takes it."""

from __future__ import annotations

from typing import Any

import pytest

from infra.gcp.run import services
from tasks.drift.compare import compare
from tasks.manifest.loading import parse_manifest
from tasks.manifest.settings import ServiceSettings
from tasks.manifest.values import SecretRef
from tasks.model import Image
from tasks.rollout.said import Where, said_template, secret_volume
from tasks.rollout.service import Base, whole_body
from tests.conftest import PROJECT
from tests.infra.emulator.emulated_run import HELLO, PARENT, REGION, new_name

WHERE = Where(PROJECT, REGION)
IMAGE = Image("web", HELLO, "sha256:1", "")


class _Versions(dict[SecretRef, int]):
    def __missing__(self, reference: SecretRef) -> int:
        return reference.version or 1


def said_of(settings: str) -> ServiceSettings:
    manifest = parse_manifest(
        f"app: shop\nservices: {{web: {settings}}}\nenvironments: {{test: {{project: {PROJECT}, regions: [{REGION}]}}}}"
    )
    return manifest.service_in("test", "web")


def said(settings: str) -> dict[str, Any]:
    return said_template(said_of(settings), IMAGE, {}, _Versions(), WHERE)


FILES, KEY = secret_volume("/secrets/a", "key"), f"projects/{PROJECT}/locations/{REGION}/keyRings/r/cryptoKeys/k"
CASES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("{min_instances: 0, max_instances: 3}", {"scaling": {"minInstanceCount": 0, "maxInstanceCount": 3}}, {}),
    ("{concurrency: 9, timeout: 90s}", {"maxInstanceRequestConcurrency": 9, "timeout": "90s"}, {}),
    ("{cpu_throttling: false, cpu_boost: false}", {}, {"resources": {"cpuIdle": False, "startupCpuBoost": False}}),
    ("{execution_environment: gen1}", {"executionEnvironment": "EXECUTION_ENVIRONMENT_GEN1"}, {}),
    ("{session_affinity: true}", {"sessionAffinity": True}, {}),
    ("{http2: true, port: 50051}", {}, {"ports": [{"containerPort": 50051, "name": "h2c"}]}),
    (
        "{startup_probe: {http: /up, period: 5s, failure_threshold: 9, initial_delay: 1s, timeout: 2s, port: 81}}",
        {},
        {"startupProbe": {"httpGet": {"path": "/up", "port": 81}, "periodSeconds": 5, "failureThreshold": 9,
                          "initialDelaySeconds": 1, "timeoutSeconds": 2}},
    ),
    ("{startup_probe: {tcp: true}}", {}, {"startupProbe": {"tcpSocket": {}}}),
    ("{liveness_probe: {grpc: ''}}", {}, {"livenessProbe": {"grpc": {}}}),
    ("{command: [run], args: ['-v', '']}", {}, {"command": ["run"], "args": ["-v", ""]}),
    (
        "{cloudsql_instances: ['acme:europe-west1:db']}",
        {"volumes": [{"name": "cloudsql", "cloudSqlInstance": {"instances": ["acme:europe-west1:db"]}}]},
        {"volumeMounts": [{"name": "cloudsql", "mountPath": "/cloudsql"}]},
    ),
    (
        "{volumes: {tmp: {memory: 64Mi, mount: /t}, data: {bucket: shop, mount: /d, read_only: true}}}",
        {"volumes": [{"name": "tmp", "emptyDir": {"medium": "MEMORY", "sizeLimit": "64Mi"}},
                     {"name": "data", "gcs": {"bucket": "shop", "readOnly": True}}]},
        {"volumeMounts": [{"name": "data", "mountPath": "/d"}, {"name": "tmp", "mountPath": "/t"}]},
    ),
    (
        "{volumes: {share: {nfs: {server: 10.0.0.2, path: /x}, mount: /n}}}",
        {"volumes": [{"name": "share", "nfs": {"server": "10.0.0.2", "path": "/x"}}]},
        {"volumeMounts": [{"name": "share", "mountPath": "/n"}]},
    ),
    (
        "{secrets: {/secrets/a: key, /secrets/b: 'key:7', TOKEN: projects/acme-other/secrets/token}}",
        {"volumes": [{"name": FILES, "secret": {"secret": "key", "items": [
            {"path": "a", "version": "1"}, {"path": "b", "version": "7"}]}}]},
        {"volumeMounts": [{"name": FILES, "mountPath": "/secrets"}],
         "env": [{"name": "TOKEN", "valueSource": {"secretKeyRef": {
             "secret": "projects/acme-other/secrets/token", "version": "1"}}}]},
    ),
    ("{vpc: {connector: main, egress: all-traffic}}",
     {"vpcAccess": {"connector": f"{PARENT}/connectors/main", "egress": "ALL_TRAFFIC"}}, {}),
    ("{vpc: {network: n, subnet: {europe-west1: s}, tags: [web]}}",
     {"vpcAccess": {"networkInterfaces": [{"network": "n", "subnetwork": "s", "tags": ["web"]}]}}, {}),
    ("{gpu: {type: nvidia-l4, zonal_redundancy: false}, cpu: 4, memory: 16Gi}",
     {"nodeSelector": {"accelerator": "nvidia-l4"}, "gpuZonalRedundancyDisabled": True},
     {"resources": {"limits": {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "1"}, "cpuIdle": False}}),
    (f"{{encryption_key: {KEY}}}", {"encryptionKey": KEY}, {}),
    ("{labels: {team: web}, annotations: {note: x}}", {"labels": {"team": "web"}, "annotations": {"note": "x"}}, {}),
    (
        "{port: 8080, starts_after: [proxy], sidecars: {proxy: {image: IMAGE, env: {PORT: '81'}, cpu: 1, args: [x], "
        "startup_probe: {tcp: true, port: 5432}}}}",
        {"sidecar": {"name": "proxy", "image": HELLO, "env": [{"name": "PORT", "value": "81"}],
                     "resources": {"limits": {"cpu": "1"}, "cpuIdle": True}, "args": ["x"],
                     "startupProbe": {"tcpSocket": {"port": 5432}}}},
        {"dependsOn": ["proxy"], "ports": [{"containerPort": 8080}]},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "template", "container"), CASES, ids=[case[0][:40] for case in CASES])
def test_each_setting_is_said_in_the_words_of_the_api(
    settings: str, template: dict[str, Any], container: dict[str, Any]
) -> None:
    template = dict(template)
    sidecars = [template.pop("sidecar")] if "sidecar" in template else []
    main = {"image": IMAGE.reference, **container}
    assert said(settings.replace("IMAGE", HELLO)) == {"containers": [main, *sidecars], **template}


@pytest.mark.parametrize(
    ("settings", "whole"),
    [
        ("{}", {}),
        ("{ingress: internal-and-cloud-load-balancing}", {"ingress": "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"}),
        ("{invoker_iam_check: false}", {"invokerIamDisabled": True}),
        ("{iap: true}", {"iapEnabled": True}),
        ("{iap: false}", {}),
        ("{custom_audiences: ['https://shop']}", {"customAudiences": ["https://shop"]}),
        ("{binary_authorization: default}", {"binaryAuthorization": {"useDefault": True}}),
        ("{description: the shop}", {"description": "the shop"}),
        ("{scaling: {min: 0, max: 3}}", {"scaling": {"maxInstanceCount": 3}}),
        ("{scaling: {manual: 0}}", {"scaling": {"scalingMode": "MANUAL", "manualInstanceCount": 0}}),
        ("{labels: {team: web}}", {"labels": {"team": "web"}}),
    ],
)
def test_what_is_said_of_the_service_as_a_whole(settings: str, whole: dict[str, Any]) -> None:
    assert whole_body(said_of(settings), Base({})) == whole


def test_what_others_say_of_the_service_stays_and_the_other_mode_of_scaling_goes() -> None:
    live = {"ingress": "INGRESS_TRAFFIC_ALL", "iapEnabled": True, "scaling": {"minInstanceCount": 1}}
    manual = whole_body(said_of("{scaling: {manual: 2}}"), Base({}, whole=live))
    assert manual == {**live, "scaling": {"scalingMode": "MANUAL", "manualInstanceCount": 2}}
    before = frozenset({"service.scaling.scalingMode", "service.scaling.manualInstanceCount", "service.iapEnabled"})
    assert whole_body(said_of("{}"), Base({}, before, manual)) == {"ingress": "INGRESS_TRAFFIC_ALL"}


def test_nothing_said_is_nothing_but_an_image() -> None:
    assert said("{}") == {"containers": [{"image": IMAGE.reference}]}


@pytest.mark.usefixtures("cloud_env")
@pytest.mark.parametrize("settings", [case[0] for case in CASES], ids=[case[0][:40] for case in CASES])
async def test_the_local_cloud_run_takes_it_and_gives_it_back(settings: str) -> None:
    wanted = said(settings.replace("IMAGE", HELLO))
    wanted["containers"][0]["image"] = HELLO
    if "/secrets/" in settings:
        del wanted["volumes"], wanted["containers"][0]["volumeMounts"], wanted["containers"][0]["env"]
    name = f"{PARENT}/services/{new_name('said')}"
    body = {"name": name, "template": wanted}
    if "command" not in wanted["containers"][0]:
        await services.validate_service(body, ["template"])
        made = await services.create_service(name, {"template": wanted}, 60)
        assert compare(body, {**made.body, "traffic": []}, ("ingress", "launchStage")) == ()
