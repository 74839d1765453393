"""Services as people may describe them in slipway.yaml, and what a release sends for one."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import strategies as st

from tasks.manifest.loading import judge
from tasks.manifest.values import SecretRef
from tasks.model import Image
from tasks.rollout.said import Where
from tasks.rollout.service import NEW, template_body, whole_body

WHERE = Where("acme-prod", "europe-west1")
IMAGE = Image("web", "europe-west1-docker.pkg.dev/acme-prod/shop/web", "sha256:1", "")
OTHERS = "projects/acme-prod/locations/europe-west1"
Body = dict[str, Any]


class _Versions(dict[SecretRef, int]):
    def __missing__(self, reference: SecretRef) -> int:
        return reference.version or 1


def sent(settings: Body) -> Body:
    """What a release sends for a service that is not there yet."""
    environments = {"production": {"project": "acme-prod", "regions": ["europe-west1"]}}
    judged = judge(yaml.safe_dump({"app": "shop", "services": {"web": settings}, "environments": environments}))
    assert judged.manifest is not None, judged.faults
    service = judged.manifest.service_in("production", "web")
    template = template_body(service, IMAGE, {}, _Versions(), WHERE, NEW)
    del template["annotations"]["slipway-says"]
    return {**whole_body(service, NEW), "template": template}


def optional(**values: st.SearchStrategy[Any]) -> st.SearchStrategy[Body]:
    return st.fixed_dictionaries({}, optional=values)


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=8)
VARIABLES = st.sampled_from(["A", "LOG_LEVEL", "spring.url", "a-b", "_x"])
SECRETS = st.sampled_from(["key", "key:7", "projects/acme-other/secrets/key"])
PROBES = st.fixed_dictionaries(
    {"http": st.sampled_from(["/", "/up", "/healthz?a=1"])},
    optional={"headers": st.dictionaries(st.sampled_from(["X-A", "Host"]), TEXT, max_size=2), "port": st.just(81)},
) | st.just({"grpc": ""}) | st.just({"grpc": "shop", "port": 9})  # fmt: skip
TIMES = optional(
    initial_delay=st.sampled_from(["0s", "5s"]),
    period=st.sampled_from(["10s", "20s", "1m"]),
    timeout=st.sampled_from(["1s", "3s"]),
    failure_threshold=st.sampled_from([1, 3, 5]),
)
PROBE = st.builds(lambda probe, times: probe | times, PROBES, TIMES)
LABELS = st.dictionaries(st.sampled_from(["team", "cost_center"]), st.sampled_from(["", "web", "7"]), max_size=2)
NOTES = st.dictionaries(st.sampled_from(["note", "example.com/owner"]), TEXT, max_size=2)
VOLUMES = st.fixed_dictionaries(
    {},
    optional={
        "tmp": st.sampled_from([{"mount": "/t", "memory": "64Mi"}, {"mount": "/t", "memory": True}, {"memory": "1Gi"}]),
        "data": st.just({"mount": "/d", "bucket": "shop-data", "read_only": True, "mount_options": ["uid=1"]}),
        "share": st.just({"mount": "/n", "nfs": {"server": "10.0.0.2", "path": "/x"}}),
    },
)
SIDECAR = st.fixed_dictionaries(
    {"image": st.just("nginx:1")},
    optional={
        "cpu": st.sampled_from([1, 2]),
        "memory": st.sampled_from(["512Mi", "1Gi"]),
        "cpu_throttling": st.booleans(),
        "cpu_boost": st.booleans(),
        "env": st.dictionaries(VARIABLES, TEXT, max_size=2),
        "secrets": st.dictionaries(st.sampled_from(["S", "/side/key"]), st.just("key"), max_size=2),
        "command": st.just(["run", ""]),
        "args": st.just(["-v"]),
        "working_dir": st.just("/w"),
        "startup_probe": PROBE | st.just({"tcp": True, "port": 5432}),
        "liveness_probe": PROBE,
        "readiness_probe": PROBE,
    },
)
SETTINGS = optional(
    memory=st.sampled_from(["512Mi", "1Gi", "1.5Gi", "1024M"]),
    cpu=st.sampled_from([1, "1000m", 2]),
    min_instances=st.integers(0, 3),
    max_instances=st.sampled_from([3, 100]),
    concurrency=st.sampled_from([1, 80, 1000]),
    cpu_throttling=st.booleans(),
    cpu_boost=st.booleans(),
    execution_environment=st.just("gen2"),
    session_affinity=st.booleans(),
    http2=st.booleans(),
    port=st.sampled_from([8080, 9000]),
    timeout=st.sampled_from(["5m", "90s", "1h"]),
    service_account=st.just("runner@acme-prod.iam.gserviceaccount.com"),
    container=st.just("main"),
    working_dir=st.just("/app"),
    command=st.just(["run"]),
    args=st.just(["-v", "a b"]),
    startup_probe=PROBE | st.just({"tcp": True}),
    liveness_probe=PROBE,
    readiness_probe=PROBE,
    scaling=st.sampled_from([{"min": 1}, {"max": 4}, {"min": 1, "max": 4}, {"manual": 0}, {"manual": 3}]),
    cloudsql_instances=st.just(["acme-prod:europe-west1:db", "acme-prod:europe-west1:other"]),
    vpc=st.sampled_from([
        {"connector": "main"}, {"connector": "projects/acme-net/locations/europe-west1/connectors/main"},
        {"network": "n", "subnet": "s", "tags": ["web"], "egress": "all-traffic"}, {"subnet": "s"},
    ]),
    ingress=st.sampled_from(["all", "internal", "internal-and-cloud-load-balancing"]),
    invoker_iam_check=st.booleans(),
    iap=st.booleans(),
    default_url=st.booleans(),
    custom_audiences=st.just(["https://shop.example.com"]),
    binary_authorization=st.sampled_from(["default", "projects/acme-prod/platforms/cloudRun/policies/p"]),
    encryption_key=st.just(f"{OTHERS}/keyRings/r/cryptoKeys/k"),
    description=TEXT,
    labels=LABELS,
    service_labels=st.just({"of": "service"}) | st.just({}),
    revision_labels=st.just({"of": "revision"}) | st.just({}),
    annotations=NOTES,
    service_annotations=NOTES,
    env=st.dictionaries(VARIABLES, TEXT, max_size=3),
    secrets=st.dictionaries(st.sampled_from(["TOKEN", "KEY"]), SECRETS, max_size=2)
    | st.just({"/secrets/a": "key", "/secrets/b": "key:7", "/other/c": "more"}),
    volumes=VOLUMES,
)  # fmt: skip


@st.composite
def services(draw: st.DrawFn) -> Body:
    """What people may say of a service, all of it allowed together."""
    found: Body = draw(SETTINGS)
    if draw(st.booleans()):
        sidecars = {name: draw(SIDECAR) for name in ("proxy", "other")}
        if draw(st.booleans()):
            found["starts_after"] = ["proxy"]
        else:
            sidecars["other"] = sidecars["other"] | {"depends_on": [found.get("container", "proxy")]}
        volumes = {name: f"/seen/{name}" for name in found.get("volumes", {})}
        volumes |= {"cloudsql": "/cloudsql"} if "cloudsql_instances" in found else {}
        sidecars["proxy"] = sidecars["proxy"] | {"volumes": volumes}
        found["sidecars"] = sidecars
    found["volumes"] = {
        name: each for name, each in found.get("volumes", {}).items() if "mount" in each or "sidecars" in found
    }
    if draw(st.booleans()):
        found |= {"gpu": {"type": "nvidia-l4", "zonal_redundancy": False}, "cpu": 4, "memory": "16Gi"}
        found |= {"cpu_throttling": False}
    elif "sidecars" in found and draw(st.booleans()):
        found["gpu"] = {"type": "nvidia-l4", "container": "other"}
        found["sidecars"]["other"] |= {"cpu": 4, "memory": "16Gi", "cpu_throttling": False}
    return found
