"""What single kinds keep that others would not, and what their first step does."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tasks.cleanup.engine.model import DELETE, Foreign, RetentionRule, Why
from tasks.cleanup.engine.plan import plan
from tasks.cleanup.kinds.kubernetes.kind import copy_of
from tasks.cleanup.kinds.kubernetes.workloads import WORKLOAD, Workloads
from tests.tasks.builders import NOW
from tests.tasks.cleanup.kinds.kubernetes.clusters import a_cluster, a_policy, an_object, short, since, world_of

POD = {"metadata": {"labels": {"pods": "web"}}, "spec": {"containers": []}}
WEB = an_object("Deployment", "web", spec={"replicas": 2, "template": POD})
FRONT = an_object("Service", "front", spec={"selector": {"pods": "web"}})


async def steps_of(
    objects: list[dict[str, Any]], defined: list[dict[str, Any]] | None = None, **more: Any
) -> list[str]:
    planned = plan(await world_of(a_cluster(objects, defined or [], **more)), a_policy())
    assert planned.refusals == ()
    return short([step.item.name for step in planned.steps])


async def test_a_workload_to_which_a_defined_service_leads_alone_is_in_use() -> None:
    assert await steps_of([WEB, FRONT], [FRONT]) == []
    assert await steps_of([WEB, FRONT]) == ["deployments/web", "services/front"]
    renamed = an_object("Deployment", "web2", spec={"template": POD})
    assert await steps_of([WEB, FRONT, renamed], [FRONT, renamed]) == ["deployments/web"]


async def test_nothing_goes_where_no_release_is_live() -> None:
    assert await steps_of([WEB], live="") == []


async def test_a_service_whose_workload_stays_is_in_use_while_that_has_no_pods() -> None:
    """Scaled to none over night, or by who scales on demand."""
    asleep = an_object("Deployment", "web", spec={"replicas": 0, "template": POD})
    spec = {"defaultBackend": {"service": {"name": "front"}}}
    door = an_object("Ingress", "door", spec=spec)
    assert await steps_of([asleep, FRONT, door], [asleep]) == []
    of_helm = an_object("Deployment", "web", labels={"app.kubernetes.io/managed-by": "Helm"}, spec=asleep["spec"])
    assert await steps_of([of_helm, FRONT, door]) == []
    assert await steps_of([asleep, FRONT]) == ["deployments/web", "services/front"]


async def test_a_workload_that_something_scales_is_in_use_as_long_as_that_stays() -> None:
    """It may be at no pods just now."""
    spec = {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}
    scaler = an_object("HorizontalPodAutoscaler", "scales", spec=spec)
    assert await steps_of([WEB, scaler], [scaler]) == []
    assert await steps_of([WEB, an_object("HorizontalPodAutoscaler", "of-others", labels={}, spec=spec)]) == []
    assert await steps_of([WEB, scaler]) == ["deployments/web"]


async def test_an_ingress_that_leads_to_a_bucket_is_in_use() -> None:
    spec = {"defaultBackend": {"resource": {"apiGroup": "example.com", "kind": "Bucket", "name": "files"}}}
    assert await steps_of([an_object("Ingress", "door", spec=spec)]) == []


@pytest.mark.parametrize(("hours", "steps"), [(3.0, []), (100.0, ["keep a copy and annotate"]), (200.0, [DELETE])])
async def test_what_somebody_has_written_of_late_is_not_left_over(hours: float, steps: list[str]) -> None:
    """A program keeps its state in it, over the API, and no template names it."""
    fields = [
        {"manager": "the-program", "time": (NOW - timedelta(hours=hours)).isoformat()},
        {"manager": "a-controller", "time": NOW.isoformat(), "subresource": "status"},
    ]
    annotations = since(300) if hours > 168 else {}
    state = an_object("ConfigMap", "state", annotations=annotations, managedFields=fields)
    planned = plan(await world_of(a_cluster([state])), a_policy())
    assert [step.action for step in planned.steps] == steps


async def test_what_was_in_use_after_its_first_step_begins_anew() -> None:
    """Annotated long ago, needed by a Deployment that goes just now: nobody has missed it yet."""
    spec = {"containers": [{"name": "c", "image": "i", "envFrom": [{"configMapRef": {"name": "used"}}]}]}
    user = an_object("Deployment", "user", annotations=since(500), spec={"replicas": 0, "template": {"spec": spec}})
    settings = an_object("ConfigMap", "used", annotations=since(500))
    planned = plan(await world_of(a_cluster([user, settings])), a_policy())
    assert {short([step.item.name])[0]: step.action for step in planned.steps} == {
        "deployments/user": DELETE, "configmaps/used": "keep a copy and annotate",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "status", "going"),
    [
        ("Job", {"active": 1}, False),
        ("Job", {"active": 1, "conditions": [{"type": "Failed", "status": "True"}]}, True),
        ("Job", {}, True),
        ("CronJob", {"active": [{"name": "import-1"}]}, False),
        ("CronJob", {}, True),
    ],
)
async def test_a_job_that_runs_just_now_is_not_broken_off(kind: str, status: dict[str, Any], going: bool) -> None:
    """Somebody has started an import that takes days, and no manifest defines it."""
    assert bool(await steps_of([an_object(kind, "import", status=status)])) is going


async def test_what_others_may_name_by_a_grant_is_in_use() -> None:
    """A Gateway in another namespace has a certificate of this one."""
    certificate, settings = an_object("Secret", "tls", annotations=since(500)), an_object("ConfigMap", "left")
    to: list[dict[str, str]] = [{"group": "", "kind": "Secret"}]
    grant = an_object("ReferenceGrant", "gateways", labels={}, spec={"to": to})
    assert await steps_of([certificate, settings, grant]) == ["configmaps/left"]
    one = an_object("ReferenceGrant", "gateways", labels={}, spec={"to": [{**to[0], "name": "other"}]})
    assert await steps_of([certificate, settings, one]) == ["configmaps/left", "secrets/tls"]


async def test_what_a_policy_of_the_cluster_has_as_its_parameters_is_in_use() -> None:
    limits, left = an_object("ConfigMap", "limits"), an_object("ConfigMap", "left")
    spec = {"policyName": "replicas", "paramRef": {"name": "limits", "namespace": "shop"}}
    binding = an_object("ValidatingAdmissionPolicyBinding", "replicas", labels={}, spec=spec)
    assert await steps_of([limits, left, binding]) == ["configmaps/left"]


async def test_volume_claims_are_only_reported_unless_they_are_asked_for() -> None:
    claim = an_object("PersistentVolumeClaim", "disk", spec={"volumeName": "pv"})
    volume = an_object("PersistentVolume", "pv", labels={}, spec={"persistentVolumeReclaimPolicy": "Retain"})
    assert await steps_of([claim, volume]) == []
    assert await steps_of([claim, volume], volumes="delete") == ["persistentvolumeclaims/disk"]


async def test_the_claims_of_a_stateful_set_stay_as_long_as_it_does() -> None:
    spec = {"replicas": 0, "volumeClaimTemplates": [{"metadata": {"name": "data"}}], "template": POD}
    database = an_object("StatefulSet", "db", spec=spec)
    claim = an_object("PersistentVolumeClaim", "data-db-3", spec={"volumeName": "pv"})
    volume = an_object("PersistentVolume", "pv", labels={}, spec={"persistentVolumeReclaimPolicy": "Retain"})
    assert await steps_of([database, claim, volume], [database], volumes="delete") == []


async def test_the_parent_of_an_applyset_is_never_left_over() -> None:
    parent = an_object("Secret", "shop", labels={"applyset.kubernetes.io/id": "x"})
    world = await world_of(a_cluster([parent], selector={}, applyset="shop"))
    assert [use.by for use in world.uses if use.needs] == ["the ApplySet, whose parent it is"]


async def test_what_is_not_the_apps_is_not_even_counted() -> None:
    other = an_object("ConfigMap", "theirs", labels={"app": "other"})
    (kept,) = plan(await world_of(a_cluster([other])), a_policy()).kept
    assert (kept.why, kept.detail) == (Why.ANOTHER_APP, "labelled as part of others")


async def test_by_default_it_is_only_reported() -> None:
    world = await world_of(a_cluster([WEB]))
    policy = a_policy()
    rules = {kind: RetentionRule(foreign=Foreign.REPORT) for kind in policy.rules}
    planned = plan(world, type(policy)("shop", policy.now, rules, min_live=0))
    assert (planned.steps, [report.finding for report in planned.reports]) == ((), ["orphan"])


@pytest.mark.parametrize(
    ("kind", "spec", "told", "change"),
    [
        ("Deployment", {"replicas": 3}, {"replicas-before": "3", "stopped-generation": "5"}, {"replicas": 0}),
        ("Deployment", {"replicas": 0}, {"replicas-before": "2", "stopped-generation": "4"}, {"replicas": 0}),
        ("CronJob", {}, {"stopped-generation": "5"}, {"suspend": True}),
        ("DaemonSet", {}, {"stopped-generation": "5"},
         {"template": {"spec": {"nodeSelector": {"slipway/stopped": "true"}}}}),
    ],
    ids=["deployment", "stopped deployment", "cron job", "daemon set"],
)  # fmt: skip
def test_the_first_step_of_a_workload_takes_its_pods_away(kind: str, spec: Any, told: Any, change: Any) -> None:
    meta = {"generation": 4, "annotations": {"slipway/replicas-before": "2"}}
    annotations = {f"slipway/{key}": value for key, value in told.items()}
    found = {"kind": kind, "spec": spec, "metadata": meta}
    assert Workloads().preparation(found) == {"metadata": {"annotations": annotations}, "spec": change}


@pytest.mark.parametrize(
    ("more", "action"),
    [
        ({"generation": 2}, DELETE),
        ({"generation": 4}, "stop"),
        ({"generation": 2, "managedFields": [{"manager": "kubectl", "time": NOW.isoformat(), "subresource": "scale"}]},
         ""),
    ],
    ids=["untouched", "started and stopped", "scaled just now"],
)  # fmt: skip
async def test_a_workload_that_a_person_has_stopped_is_not_taken_for_one_that_clean_up_has(
    more: dict[str, Any], action: str
) -> None:
    """It was started again after clean-up had stopped it, which leaves the annotations where they are."""
    annotations = {**since(500), "slipway/stopped-generation": "2"}
    web = an_object("Deployment", "web", annotations=annotations, spec={"replicas": 0, "template": POD}, **more)
    steps = plan(await world_of(a_cluster([web])), a_policy()).steps
    assert [step.action for step in steps] == ([action] if action else [])


async def test_a_workload_that_was_started_again_is_not_deleted_but_stopped_anew() -> None:
    again = an_object("Deployment", "web", annotations=since(500), spec={"replicas": 2, "template": POD})
    (step,) = plan(await world_of(a_cluster([again])), a_policy()).steps
    assert (step.item.kind, step.action) == (WORKLOAD, "stop")


def test_of_a_secret_a_copy_has_the_names_alone() -> None:
    secret = {"metadata": {"name": "s", "annotations": {"last": "password"}}, "data": {"k": "eA=="}}
    assert copy_of(secret, secret=True) == {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}
