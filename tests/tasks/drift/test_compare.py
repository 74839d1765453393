"""A service nobody touched is never reported; whatever somebody changed is found and named precisely."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.drift.compare import Difference, DriftKind, classify, compare
from tests.tasks.drift.specs import IDS, IMAGE, NAMES, SPECS, Spec, served

ENV, LIMITS = "template.containers[0].env", "template.containers[0].resources.limits"
SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def service(**container: Any) -> Spec:
    return {"template": {"containers": [{"image": IMAGE, **container}]}}


def with_template(**template: Any) -> Spec:
    body = service()
    return {"template": {**body["template"], **template}}


@given(SPECS)
@SETTINGS
def test_a_service_nobody_touched_is_never_reported(spec: Spec) -> None:
    assert compare(spec, served(spec)) == ()


@given(SPECS)
@SETTINGS
def test_a_service_never_differs_from_itself(spec: Spec) -> None:
    assert compare(spec, spec) == ()


@given(SPECS, NAMES, st.text(max_size=5))
@SETTINGS
def test_an_environment_variable_set_by_hand_is_found_and_named(spec: Spec, name: str, value: str) -> None:
    live = served(spec)
    container = live["template"]["containers"][0]
    before: Spec = next((entry for entry in container.get("env", []) if entry["name"] == name), {})
    others = [entry for entry in container.get("env", []) if entry["name"] != name]
    container["env"] = [{"name": name, "value": value}, *others]
    found = {difference.path: difference for difference in compare(spec, live)}
    expected = set() if before.get("value") == value else {f"{ENV}[{name}]"}
    expected |= {f"{ENV}[{name}].secret"} if "valueSource" in before else set()
    assert found.keys() == expected
    assert all(found[path].live == value for path in expected if not path.endswith(".secret"))


@given(SPECS, st.data())
@SETTINGS
def test_an_environment_variable_taken_away_is_found_and_named(spec: Spec, data: st.DataObject) -> None:
    live = served(spec)
    env = live["template"]["containers"][0].get("env")
    if env:
        lost = env.pop(data.draw(st.integers(0, len(env) - 1)))
        (difference,) = compare(spec, live)
        assert difference.path.startswith(f"{ENV}[{lost['name']}]")
        assert difference.live is None


@given(SPECS)
@SETTINGS
def test_another_image_is_found_and_named(spec: Spec) -> None:
    live = served(spec)
    other = IMAGE.replace("a" * 64, "b" * 64)
    live["template"]["containers"][0]["image"] = other
    assert compare(spec, live) == (Difference("template.containers[0].image", IMAGE, other),)


@given(SPECS)
@SETTINGS
def test_other_memory_is_found_and_named(spec: Spec) -> None:
    live = served(spec)
    live["template"]["containers"][0]["resources"]["limits"]["memory"] = "3Gi"
    (difference,) = compare(spec, live)
    assert (difference.path, difference.live) == (f"{LIMITS}.memory", "3Gi")
    assert difference.desired


@given(SPECS, IDS.map(lambda name: f"new-{name}"))
@SETTINGS
def test_other_traffic_is_found_and_named(spec: Spec, revision: str) -> None:
    live = served(spec)
    live["traffic"] = [{"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION", "revision": revision, "percent": 100}]
    found = {difference.path: difference.live for difference in compare(spec, live)}
    assert found.pop(f"traffic[{revision}]") == 100
    assert found
    assert all(path.startswith("traffic[") and live is None for path, live in found.items())


SAME = [
    (service(resources={"limits": {"memory": one, "cpu": "1"}}), service(resources={"limits": {"memory": other}}))
    for one, other in [("512Mi", "0.5Gi"), ("512Mi", 536870912), ("1Gi", "1024Mi"), ("1e9", "1G"), ("512Mi", None)]
]
SAME += [
    (service(resources={"limits": {"cpu": one}}), service(resources={"limits": {"cpu": other}}))
    for one, other in [(1, "1"), ("1", "1000m"), (1.0, "1"), ("0.5", "500m")]
]
SAME += [
    (with_template(timeout=300), with_template(timeout="300s")),
    (with_template(timeout="300.000s"), with_template()),
    (with_template(sessionAffinity="true"), with_template(sessionAffinity=True)),
    (with_template(scaling={"minInstanceCount": "2"}), with_template(scaling={"minInstanceCount": 2})),
    (with_template(scaling={}), with_template(scaling=None)),
    (service(env=[{"name": "A", "value": 1}]), service(env=[{"name": "A", "value": "1"}])),
    (service(env=[{"name": "A"}]), service(env=[{"name": "A", "value": ""}])),
    (service(image=IMAGE.replace("@", ":v1@")), service()),
    (service(resources={}), service(resources={"cpuIdle": True})),
    (
        service(volumeMounts=[{"name": "tmp", "mountPath": "/tmp/x/"}]),
        service(volumeMounts=[{"name": "tmp", "mountPath": "/tmp/x"}]),
    ),
    (
        with_template(volumes=[{"name": "tmp", "emptyDir": {}}]),
        with_template(volumes=[{"name": "tmp", "emptyDir": {"medium": "MEMORY"}}]),
    ),
    ({**service(), "ingress": "INGRESS_TRAFFIC_UNSPECIFIED"}, {**service(), "ingress": "INGRESS_TRAFFIC_ALL"}),
    ({**service(), "traffic": []}, {**service(), "traffic": [{"percent": 100}]}),
    (
        {**service(), "traffic": [{"revision": "api-1", "percent": 100}]},
        {**service(), "traffic": [{"revision": "a/b/revisions/api-1", "percent": "100"}, {"revision": "api-0"}]},
    ),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_same_in_other_words_is_no_difference(one: Spec, other: Spec) -> None:
    assert compare(one, other) == ()
    assert compare(other, one) == ()


@pytest.mark.parametrize(
    ("desired", "live", "difference"),
    [
        (
            service(env=[{"name": "LOG_LEVEL", "value": "info"}]),
            service(env=[{"name": "LOG_LEVEL", "value": "debug"}]),
            Difference(f"{ENV}[LOG_LEVEL]", "info", "debug"),
        ),
        (
            service(env=[{"name": "V", "value": "1.0"}]),
            service(env=[{"name": "V", "value": "1"}]),
            Difference(f"{ENV}[V]", "1.0", "1"),
        ),
        (
            service(env=[{"name": "KEY", "valueSource": {"secretKeyRef": {"secret": "key", "version": 3}}}]),
            service(env=[{"name": "KEY", "valueSource": {"secretKeyRef": {"secret": "key", "version": "4"}}}]),
            Difference(f"{ENV}[KEY].secret", "key:3", "key:4"),
        ),
        (
            service(),
            service(resources={"limits": {"memory": "1Gi"}, "cpuIdle": True}),
            Difference(f"{LIMITS}.memory", "512Mi", "1Gi"),
        ),
        (
            service(resources={"limits": {"cpu": 1}}),
            service(resources={"limits": {"cpu": 1}, "cpuIdle": True}),
            Difference("template.containers[0].resources.cpuIdle", None, True),
        ),
        (
            with_template(),
            with_template(scaling={"minInstanceCount": 1}),
            Difference("template.scaling.minInstanceCount", None, 1),
        ),
        (
            with_template(),
            with_template(scaling={"maxInstanceCount": 5}),
            Difference("template.scaling.maxInstanceCount", 100, 5),
        ),
        (
            with_template(),
            with_template(maxInstanceRequestConcurrency=1),
            Difference("template.maxInstanceRequestConcurrency", 80, 1),
        ),
        (with_template(), with_template(timeout="60s"), Difference("template.timeout", "300s", "60s")),
        (
            with_template(serviceAccount="api@acme.iam.gserviceaccount.com"),
            with_template(serviceAccount="1-compute@developer.gserviceaccount.com"),
            Difference("template.serviceAccount", "api@acme.iam.gserviceaccount.com", None),
        ),
        (
            service(),
            {**service(), "ingress": "INGRESS_TRAFFIC_INTERNAL_ONLY"},
            Difference("ingress", "INGRESS_TRAFFIC_ALL", "INGRESS_TRAFFIC_INTERNAL_ONLY"),
        ),
        (service(), {**service(), "labels": {"team": "web"}}, Difference("labels[team]", None, "web")),
        (
            service(ports=[{"containerPort": 9000}]),
            service(),
            Difference("template.containers[0].ports[0].containerPort", 9000, 8080),
        ),
        (service(args=["0"]), service(), Difference("template.containers[0].args", ["0"], None)),
        (
            service(args=["a", "b"]),
            service(args=["b", "a"]),
            Difference("template.containers[0].args", ["a", "b"], ["b", "a"]),
        ),
        (
            with_template(volumes=[{"name": "cache", "emptyDir": {"sizeLimit": "1Gi"}}]),
            with_template(volumes=[{"name": "cache", "emptyDir": {"sizeLimit": "2Gi"}}]),
            Difference("template.volumes[cache].emptyDir.sizeLimit", "1Gi", "2Gi"),
        ),
    ],
    ids=lambda value: value.path if isinstance(value, Difference) else "",
)
def test_a_difference_names_the_field_and_both_values(desired: Spec, live: Spec, difference: Difference) -> None:
    assert compare(desired, live) == (difference,)


def test_the_probe_that_an_app_has_by_default_is_one_of_a_sidecar_that_others_wait_for() -> None:
    probe = {"timeoutSeconds": 240, "periodSeconds": 240, "failureThreshold": 1, "tcpSocket": {"port": 8080}}
    main = {"image": IMAGE, "ports": [{"containerPort": 8080}]}
    beside = {"name": "a", "image": "a"}
    one = {"template": {"containers": [{**main, "startupProbe": probe}, {**beside, "startupProbe": probe}]}}
    other = {"template": {"containers": [main, beside]}}
    assert {each.path for each in compare(one, other)} == {
        f"template.containers[a].startupProbe.{key}"
        for key in ("timeoutSeconds", "periodSeconds", "failureThreshold", "tcpSocket.port")
    }


def test_a_sidecar_is_known_by_its_name_and_the_first_container_by_its_port() -> None:
    main = {"image": IMAGE, "ports": [{"containerPort": 8080}]}
    proxy = {"name": "proxy", "image": "proxy@sha256:1"}
    desired = {"template": {"containers": [main, proxy]}}
    live = {"template": {"containers": [{**proxy, "image": "proxy@sha256:2"}, {**main, "name": "app-1"}]}}
    assert compare(desired, live) == (
        Difference("template.containers[proxy].image", "proxy@sha256:1", "proxy@sha256:2"),
    )


@pytest.mark.parametrize("name", ["projects/acme/secrets/key", "projects/123456789/secrets/key"])
def test_a_secret_of_the_own_project_may_be_named_in_full(name: str) -> None:
    def body(secret: str) -> Spec:
        env = [{"name": "KEY", "valueSource": {"secretKeyRef": {"secret": secret, "version": 1}}}]
        return {**service(env=env), "name": "projects/acme/locations/europe-west1/services/shop-api"}

    assert compare(body("key"), body(name)) == ()
    assert compare(body("key"), body("projects/evil/secrets/key"))


def test_annotations_count_only_where_they_are_asked_for() -> None:
    asked = {**service(), "annotations": {"owner": "web"}}
    assert compare(service(), asked) == ()
    assert compare(asked, service()) == (Difference("annotations[owner]", "web", None),)


@pytest.mark.parametrize(
    ("ignore", "left"),
    [
        ((), 3),
        (("template",), 1),
        (("template.containers[0].env[LOG_LEVEL]",), 2),
        (("template.containers[*].env[*]",), 2),
        (("template.containers[0].env",), 2),
        (("*.memory", "labels[*]"), 1),
        (("*",), 0),
        (("temp", "template.containers[0].env[LOG]"), 3),
    ],
)
def test_the_ignore_list_takes_paths_globs_and_whole_branches(ignore: tuple[str, ...], left: int) -> None:
    desired = service(env=[{"name": "LOG_LEVEL", "value": "info"}], resources={"limits": {"memory": "1Gi"}})
    live = {**service(resources={"limits": {"memory": "2Gi"}}), "labels": {"team": "web"}}
    assert len(compare(desired, live, ignore)) == left


def shares(**percents: int) -> Spec:
    return {**service(), "traffic": [{"revision": name, "percent": share} for name, share in percents.items()]}


@pytest.mark.parametrize(
    ("live", "drift"),
    [
        (shares(v3=100), DriftKind.NONE),
        (shares(v2=100), DriftKind.ROLLED_BACK),
        (shares(v1=100), DriftKind.ROLLED_BACK),
        (shares(v3=50, v2=50), DriftKind.ROLLED_BACK),
        (shares(failed=100), DriftKind.TRAFFIC),
        (shares(v2=50, failed=50), DriftKind.TRAFFIC),
        ({**service(), "traffic": [{"percent": 100}]}, DriftKind.TRAFFIC),
        (
            {**shares(v3=100), "traffic": [*shares(v3=100)["traffic"], {"revision": "v1", "tag": "old"}]},
            DriftKind.TRAFFIC,
        ),
        ({**shares(v2=100), "ingress": "INGRESS_TRAFFIC_INTERNAL_ONLY"}, DriftKind.ROLLED_BACK),
        ({**shares(failed=100), "ingress": "INGRESS_TRAFFIC_INTERNAL_ONLY"}, DriftKind.CHANGED),
    ],
    ids=[
        "none",
        "one back",
        "two back",
        "half",
        "a failed one",
        "partly",
        "latest",
        "a tag",
        "and more",
        "more than traffic",
    ],
)
def test_a_human_rollback_is_told_from_other_drift(live: Spec, drift: DriftKind) -> None:
    good = {"v1": "v1.0.0", "v2": "v1.1.0"}
    assert classify(compare(shares(v3=100), live), good) is drift
