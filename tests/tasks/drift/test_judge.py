"""What a service is held to: what was recorded of it, and nothing that nobody ever said."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.drift.compare import Difference, DriftKind
from tasks.drift.judge import ACCESS, Around, Comparison, Released, judge, pinned, released_targets
from tasks.drift.repair import refuse_unusable, shipped_again, wanted_whole
from tasks.failures.errors import RepairRefused
from tasks.model import Place
from tasks.rollout.service import SAYS
from tests.tasks.builders import a_record, a_request, a_target

NAME = "projects/acme-prod/locations/europe-west1/services/shop-api"
TEMPLATE = {"containers": [{"image": "api@sha256:1"}]}
NOTHING = Around()
INTERNAL = {"ingress": "INGRESS_TRAFFIC_INTERNAL_ONLY", "labels": {"team": "web"}, "description": "the shop"}


def judged(live: dict[str, Any], around: Around = NOTHING, **recorded: Any) -> Comparison:
    target = a_target("api", "api-v1").model_copy(update={"template": TEMPLATE, **recorded})
    record = a_record("v1", 1, targets=(target,))
    traffic = [{"revision": "api-v1", "percent": 100}]
    body = {"name": NAME, "template": TEMPLATE, "traffic": traffic, **live}
    return judge("shop-api", [record], Released(record, target), body, None, (), around)


@pytest.mark.parametrize("whole", [None, INTERNAL], ids=["of an earlier version", "recorded"])
def test_what_slipway_yaml_never_said_and_was_so_at_the_release_is_no_drift(whole: dict[str, Any] | None) -> None:
    """It was drift for ever, and refresh shipped the same again every hour."""
    assert (
        judged({**INTERNAL, "scaling": {"minInstanceCount": 1}} if whole is None else INTERNAL, whole=whole).kind
        is DriftKind.NONE
    )


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"ingress": "INGRESS_TRAFFIC_ALL"}, Difference("ingress", INTERNAL["ingress"], "INGRESS_TRAFFIC_ALL")),
        ({"labels": {"team": "ops"}}, Difference("labels[team]", "web", "ops")),
        ({"labels": {"team": "web", "new": "1"}}, Difference("labels[new]", None, "1")),
        ({"description": ""}, Difference("description", "the shop", None)),
        ({"scaling": {"minInstanceCount": 3}}, Difference("scaling.minInstanceCount", None, 3)),
    ],
    ids=lambda value: value.path if isinstance(value, Difference) else "",
)
def test_what_was_changed_since_is_named_and_needs_no_release(change: dict[str, Any], difference: Difference) -> None:
    found = judged({**INTERNAL, **change}, whole=INTERNAL)
    assert (found.kind, found.differences) == (DriftKind.CHANGED, (difference,))
    assert shipped_again(found) == ()


SAID = {**TEMPLATE, "annotations": {SAYS: '["containers[].env[A]","containers[].resources.limits[memory]"]'}}


def with_main(**fields: Any) -> dict[str, Any]:
    return {"template": {**SAID, "containers": [{**TEMPLATE["containers"][0], **fields}]}}


@pytest.mark.parametrize(
    ("live", "kind"),
    [
        ({"template": SAID}, DriftKind.NONE),
        ({"template": {**SAID, "sessionAffinity": True}}, DriftKind.OTHERS),
        ({"template": SAID, "ingress": "INGRESS_TRAFFIC_INTERNAL_ONLY"}, DriftKind.OTHERS),
        (with_main(env=[{"name": "B", "value": "1"}]), DriftKind.OTHERS),
        (with_main(env=[{"name": "A", "value": "1"}]), DriftKind.CHANGED),
        (with_main(resources={"limits": {"memory": "4Gi"}, "cpuIdle": True}), DriftKind.CHANGED),
        ({"template": TEMPLATE}, DriftKind.CHANGED),
        ({"template": {**SAID, "sessionAffinity": True}, "traffic": [{"percent": 100}]}, DriftKind.TRAFFIC),
    ],
    ids=["nothing", "a setting", "of the service", "a variable", "ours", "our memory", "our mark", "traffic as well"],
)
def test_what_slipway_yaml_never_said_is_told_and_left_to_others(live: dict[str, Any], kind: DriftKind) -> None:
    assert judged(live, template=SAID, whole={}).kind is kind


@pytest.mark.parametrize(
    ("recorded", "public", "said"),
    [
        ({"public": True}, True, None),
        ({"public": True}, False, ("everyone", "its callers")),
        ({"was_public": False}, True, ("its callers", "everyone")),
        ({"was_public": True}, True, None),
        ({"was_public": True, "was_opened": True}, True, ("its callers", "everyone")),
        ({}, True, None),
    ],
    ids=["public", "closed since", "opened since", "public before", "closed by the release", "not recorded"],
)
def test_who_may_call_is_held_to_what_the_release_left(
    recorded: dict[str, bool], public: bool, said: tuple[str, str] | None
) -> None:
    found = judged({}, Around(public), **recorded)
    assert [(each.path, each.desired, each.live) for each in found.differences] == ([(ACCESS, *said)] if said else [])
    assert shipped_again(found) == ()


def test_who_was_let_in_by_name_and_may_not_call_any_more_is_drift_and_whom_others_have_let_in_is_not() -> None:
    ada, bob, eve = (f"user:{name}@example.com" for name in ("ada", "bob", "eve"))
    found = judged({}, Around(False, frozenset({bob, eve})), invokers=(ada, bob))
    assert [(each.path, each.live) for each in found.differences] == [(f"{ACCESS}[{ada}]", "not let in")]
    assert (found.kind, shipped_again(found)) == (DriftKind.CHANGED, ())
    assert judged({}, Around(), invokers=(ada,)).differences == ()


def test_a_pinned_secret_version_that_was_disabled_is_drift_that_no_refresh_puts_right() -> None:
    found = judged({}, Around(None, unusable=("key:3",)))
    assert [each.path for each in found.differences] == ["secrets[key:3]"]
    with pytest.raises(RepairRefused) as refused:
        refuse_unusable(a_request(), [found])
    assert "gcloud secrets versions enable projects/acme-prod/secrets/key/versions/3;" in refused.value.remedy


def test_the_secret_versions_that_a_service_is_pinned_to_are_read_from_its_variables() -> None:
    def secret(name: str, version: str) -> dict[str, Any]:
        return {"name": name, "valueSource": {"secretKeyRef": {"secret": name.lower(), "version": version}}}

    env = [secret("KEY", "3"), secret("TOKEN", "latest"), {"name": "LEVEL", "value": "info"}]
    assert pinned({"name": NAME, "template": {"containers": [{"image": "a", "env": env}]}}) == ("key:3",)


def test_labels_are_put_back_without_those_that_tell_of_the_release() -> None:
    recorded = {"labels": {"team": "web", "slipway-version": "v1"}, "ingress": "INGRESS_TRAFFIC_ALL"}
    live = {"labels": {"team": "ops", "slipway-version": "v2"}}
    assert wanted_whole(recorded, live, ["labels"]) == {"labels": {"team": "web", "slipway-version": "v2"}}
    assert wanted_whole(recorded, live, ["ingress", "scaling"]) == {"ingress": "INGRESS_TRAFFIC_ALL"}


def test_of_a_service_that_was_renamed_only_what_goes_by_its_new_name_is_held_to_a_release() -> None:
    old, new = a_target("api", "api-v1"), a_target("api", "orders-v2").model_copy(update={"name": "orders"})
    found = released_targets([a_record("v2", 2, targets=(new,)), a_record("v1", 1, targets=(old,))])
    assert list(found) == [Place("api", "europe-west1", "orders")]
