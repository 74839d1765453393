"""Specifications of services as people write them, and as Cloud Run gives them back."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

IMAGE = "europe-west1-docker.pkg.dev/acme/shop/api@sha256:" + "a" * 64
NAMES = st.from_regex(r"[A-Z][A-Z0-9_]{0,8}", fullmatch=True)
IDS = st.from_regex(r"[a-z][a-z0-9-]{0,8}[a-z0-9]", fullmatch=True)
Spec = dict[str, Any]


def optional(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Spec]:
    return st.fixed_dictionaries({}, optional=fields)


ENVIRONMENT = st.lists(
    st.one_of(
        st.builds(lambda name, value: {"name": name, "value": value}, NAMES, st.text(max_size=6)),
        st.builds(
            lambda name, secret, version: {
                "name": name,
                "valueSource": {"secretKeyRef": {"secret": secret, "version": version}},
            },
            NAMES,
            IDS,
            st.one_of(st.integers(1, 9), st.just("latest")),
        ),
    ),
    max_size=4,
    unique_by=lambda entry: entry["name"],
)
MEMORY = st.sampled_from(["128Mi", "512Mi", "0.5Gi", "1Gi", "1024Mi", 536870912, "2G"])
PROBE = st.fixed_dictionaries(
    {"httpGet": optional(path=st.sampled_from(["/", "/healthz"]))},
    optional={"periodSeconds": st.integers(1, 240), "failureThreshold": st.integers(1, 5)},
)
CONTAINER = st.fixed_dictionaries(
    {"image": st.just(IMAGE)},
    optional={
        "env": ENVIRONMENT,
        "resources": st.fixed_dictionaries(
            {"limits": optional(memory=MEMORY, cpu=st.sampled_from(["1", 1, "1000m", "2", "0.5", "500m"]))},
            optional={"cpuIdle": st.booleans(), "startupCpuBoost": st.booleans()},
        ),
        "ports": st.integers(1, 65535).map(lambda port: [{"containerPort": port}]),
        "command": st.lists(st.text(max_size=4), max_size=2),
        "args": st.lists(st.text(max_size=4), max_size=2),
        "startupProbe": PROBE,
        "livenessProbe": PROBE,
    },
)
TEMPLATE = st.fixed_dictionaries(
    {"containers": CONTAINER.map(lambda container: [container])},
    optional={
        "scaling": optional(minInstanceCount=st.integers(0, 3), maxInstanceCount=st.sampled_from([0, 5, 100])),
        "maxInstanceRequestConcurrency": st.sampled_from([0, 1, 80, 250]),
        "timeout": st.sampled_from(["300s", "60s", "60.500s"]),
        "serviceAccount": st.just("api@acme.iam.gserviceaccount.com"),
        "labels": st.dictionaries(IDS, st.sampled_from(["", "0", "web"]), max_size=2),
        "sessionAffinity": st.booleans(),
    },
)
REVISIONS = st.lists(IDS, min_size=1, max_size=3, unique=True)


def split(revisions: list[str]) -> list[Spec]:
    rest = [{"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION", "revision": each, "percent": 10} for each in revisions]
    rest[0]["percent"] = 100 - 10 * (len(revisions) - 1)
    rest[-1]["tag"] = "canary"
    return rest


SPECS = st.fixed_dictionaries(
    {"template": TEMPLATE},
    optional={
        "traffic": REVISIONS.map(split),
        "ingress": st.sampled_from(["INGRESS_TRAFFIC_ALL", "INGRESS_TRAFFIC_INTERNAL_ONLY"]),
        "labels": st.dictionaries(IDS, IDS, max_size=2),
        "scaling": optional(minInstanceCount=st.integers(0, 2)),
        "description": st.text(max_size=4),
    },
)


def served(spec: Spec) -> Spec:
    """What Cloud Run answers for a service that was made from `spec`, after recorded answers of the v2 API."""
    body = copy.deepcopy(spec)
    template = body["template"]
    for container in template["containers"]:
        _fill_container(container)
    cpu = template["containers"][0]["resources"]["limits"]["cpu"]
    if not template.get("maxInstanceRequestConcurrency"):
        template["maxInstanceRequestConcurrency"] = 1 if cpu in ("0.5", "500m") else 80
    scaling = template.setdefault("scaling", {})
    scaling["maxInstanceCount"] = scaling.get("maxInstanceCount") or 100
    template.setdefault("timeout", "300s")
    template.setdefault("serviceAccount", "123456789-compute@developer.gserviceaccount.com")
    template["annotations"] = {"client.knative.dev/user-image": IMAGE}
    body.setdefault("ingress", "INGRESS_TRAFFIC_ALL")
    body["traffic"] = _served_traffic(body.get("traffic") or [])
    labels = {**body.get("labels", {}), "goog-managed-by": "cloudfunctions"}
    answer: Spec = _as_json({**body, "labels": labels, **SERVER_ADDED})
    return answer


SERVER_ADDED = {
    "name": "projects/acme/locations/europe-west1/services/shop-api",
    "uid": "c343445c-583c-491a-b91f-32d937d85c21",
    "generation": "7",
    "observedGeneration": "7",
    "createTime": "2026-02-01T17:38:42.556837Z",
    "creator": "deployer@acme.iam.gserviceaccount.com",
    "client": "gcloud",
    "clientVersion": "528.0.0",
    "annotations": {"run.googleapis.com/operation-id": "1f"},
    "launchStage": "GA",
    "latestReadyRevision": "projects/acme/locations/europe-west1/services/shop-api/revisions/shop-api-00001",
    "conditions": [{"type": "RoutesReady", "state": "CONDITION_SUCCEEDED"}],
    "terminalCondition": {"type": "Ready", "state": "CONDITION_SUCCEEDED"},
    "uri": "https://shop-api-ue5lbildha-ew.a.run.app",
    "etag": '"CKLg8aQGEIjRwokC"',
}


def _fill_container(container: Spec) -> None:
    bare = "resources" not in container
    resources = container.setdefault("resources", {})
    limits = resources.setdefault("limits", {})
    limits["memory"] = str(limits.get("memory", "512Mi"))
    limits["cpu"] = {"1": "1000m"}.get(str(limits.get("cpu", "1")), str(limits.get("cpu", "1")))
    if bare:
        resources["cpuIdle"] = True
    ports = container.setdefault("ports", [{"containerPort": 8080}])
    ports[0].setdefault("name", "http1")
    port = ports[0]["containerPort"]
    for name in ("startupProbe", "livenessProbe"):
        if name in container:
            container[name] = {"timeoutSeconds": 1, "periodSeconds": 10, "failureThreshold": 3, **container[name]}
            container[name]["httpGet"] = {"path": "/", "port": port, **container[name]["httpGet"]}
    default = {"timeoutSeconds": 240, "periodSeconds": 240, "failureThreshold": 1, "tcpSocket": {"port": port}}
    container.setdefault("startupProbe", default)


def _served_traffic(targets: list[Spec]) -> list[Spec]:
    """gcloud writes share and tag of one target as two entries."""
    if not targets:
        return [{"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "percent": 100}]
    bare = [{key: value for key, value in target.items() if key != "tag"} for target in targets]
    tags = [{"revision": target["revision"], "tag": target["tag"]} for target in targets if "tag" in target]
    return [*reversed(bare), *tags]


def _as_json(value: Any) -> Any:
    """As protobuf writes JSON: no false, zero or empty fields, and keys in another order."""
    if isinstance(value, dict):
        shown = {key: _as_json(value[key]) for key in sorted(value)}
        free = set(value) <= {"name", "value"}  # the message of an environment variable keeps its name
        return shown if free else {key: inner for key, inner in shown.items() if inner not in (False, 0, [], {})}
    return [_as_json(each) for each in value] if isinstance(value, list) else value
