"""The rules of clean-up, one by one; most cases are losses that other tools have caused."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tasks.cleanup.engine.model import (
    DAY_S,
    DELETE,
    Action,
    Foreign,
    Item,
    Kind,
    Listing,
    Plan,
    Policy,
    ReportKind,
    RetentionRule,
    Use,
    Why,
    World,
)
from tasks.cleanup.engine.plan import plan, unlisted, used
from tasks.cleanup.engine.rules import MANAGED_BY
from tasks.cleanup.kinds.buckets import BUCKET, SOFT_DELETE
from tasks.cleanup.kinds.build_logs import BUILD_LOG
from tasks.cleanup.kinds.images import IMAGE
from tasks.cleanup.kinds.revisions import REVISION
from tasks.cleanup.kinds.service_accounts import DISABLE, SERVICE_ACCOUNT
from tasks.cleanup.kinds.services import SERVICE
from tests.tasks.cleanup.engine.worlds import KINDS

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
REGISTRY = "europe-west1-docker.pkg.dev/acme/shop"
LIVE = Use("api in europe-west1: 100 % of the traffic", ("sha256:live",))


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def image(digest: str, days: float = 200, **more: Any) -> Item:
    name = f"{REGISTRY}/api@sha256:{digest}"
    given = {"group": "api/production", "owner": "shop", "uploaded": ago(days), **more}
    return Item(kind=IMAGE, name=given.pop("name", name), digest=f"sha256:{digest}", **given)


def thing(kind: Kind, name: str, days: float = 200, **more: Any) -> Item:
    return Item(kind=kind, name=name, **{"group": "", "owner": "shop", "uploaded": ago(days), **more})


def world(*items: Item, uses: tuple[Use, ...] = (), **more: Any) -> World:
    """One with a live image, so that it is believed."""
    everything = (image("live", 300), *items)
    return World(everything, (LIVE, *uses), (Listing("all of it", NOW, len(everything)),), kinds=KINDS, **more)


def policy(keep: int = 0, protect: tuple[str, ...] = (), max_items: int = 10**6, **rule: Any) -> Policy:
    rules = dict.fromkeys(KINDS, RetentionRule(keep=keep, **{"max_percent": 100.0, **rule}))
    return Policy("shop", NOW, rules, protect, max_items)


def gone(made: Plan) -> list[str]:
    """Short names of what goes, in order."""
    assert not made.refusals
    return [step.item.name.rpartition(":")[2] for step in made.steps]


def why(made: Plan, item: Item) -> Why:
    return next(kept.why for kept in made.kept if kept.name == item.name)


def test_what_is_old_and_unused_goes_oldest_first() -> None:
    made = plan(world(image("b", 100), image("a", 200), image("young", 10)), policy())
    assert gone(made) == ["a", "b"]


def test_an_image_that_serves_stays_however_old() -> None:
    """A registry's own policy took images that production ran (googlecloudrobotics/core PR 527)."""
    assert "live" not in gone(plan(world(), policy()))


def test_the_images_of_every_retained_revision_stay() -> None:
    """The images of old revisions were gone when somebody went back to one (firebase-tools 8421)."""
    kept = thing(REVISION, "api-00007", needs=("sha256:seven",), group="api/europe-west1")
    older = thing(REVISION, "api-00006", 201, needs=("sha256:six",), group="api/europe-west1")
    rules = policy(keep=1)
    made = plan(world(kept, older, image("seven"), image("six", 300), image("newest", 150)), rules)
    assert gone(made) == ["api-00006", "six"]


def test_a_release_one_can_go_back_to_stays_outside_keep_n() -> None:
    """Blindly keeping the newest broke the rollback to a kept version (PolicyEngine PR 3742)."""
    good = Use("release v1.2.0", ("sha256:good",), live=False)
    made = plan(world(image("good", 250), image("bad", 240), image("newest"), uses=(good,)), policy(keep=1))
    assert gone(made) == ["bad"]


def test_an_image_used_under_another_name_stays() -> None:
    """gcr.io, virtual repositories and copies serve the same digest."""
    copy = image("live", 400, name="us-docker.pkg.dev/acme/gcr.io/api@sha256:live")
    assert gone(plan(world(copy), policy())) == []


@pytest.mark.parametrize("owner", [None, "blog"], ids=["nobody's", "another app's"])
def test_what_is_not_ours_stays(owner: str | None) -> None:
    """ "Deleted things I shouldn't have" (hail 13441)."""
    assert gone(plan(world(image("a", owner=owner)), policy())) == []


def test_another_apps_things_stay_even_where_foreign_ones_go() -> None:
    made = plan(world(image("a", owner="blog"), image("b", owner=None)), policy(foreign=Foreign.DELETE))
    assert gone(made) == ["b"]


def test_foreign_things_are_always_reported() -> None:
    used_one, unused = image("used", owner=None), image("unused", owner=None)
    made = plan(world(used_one, unused, uses=(Use("job nightly", ("sha256:used",)),)), policy())
    found = {(report.finding, report.name, report.detail) for report in made.reports}
    assert found == {
        (ReportKind.FOREIGN, used_one.name, "in use by job nightly"),
        (ReportKind.FOREIGN, unused.name, "not in use"),
    }


@pytest.mark.parametrize(
    "glob", ["*/api@sha256:a", "sha256:a", "v1.*", "keep=yes"], ids=["name", "digest", "tag", "label"]
)
def test_the_protection_list_wins_over_everything(glob: str) -> None:
    """Asked for five times of gcr-cleaner and never merged (#65, #105, #144, #146, #157)."""
    held = image("a", tags=("v1.0.0",), labels={"keep": "yes"})
    made = plan(world(held, image("b")), policy(protect=(glob,), max_age_s=None))
    assert gone(made) == ["b"]
    assert why(made, held) is Why.PROTECTED


def test_reproducible_builds_are_ordered_by_upload() -> None:
    """Sorted by creation, images that all date from 1980 lose the newest one."""
    long_ago = datetime(1980, 1, 1, tzinfo=UTC)
    built = [image(f"v{n}", 300 - n, created=long_ago) for n in (1, 2, 3)]
    assert gone(plan(world(*built), policy(keep=1))) == ["v1", "v2"]


@pytest.mark.parametrize(
    ("times", "goes"),
    [
        ({"uploaded": None, "created": ago(200)}, True),
        ({"uploaded": None, "created": datetime(1980, 1, 1, tzinfo=UTC)}, False),
        ({"uploaded": datetime(1970, 1, 1, tzinfo=UTC), "created": ago(200)}, True),
        ({"uploaded": ago(1), "created": ago(200)}, False),
        ({"uploaded": None, "created": None}, False),
    ],
    ids=["created when there is no upload time", "created in 1980", "uploaded in 1970", "uploaded lately", "no time"],
)
def test_the_age_is_the_time_since_the_upload(times: dict[str, Any], goes: bool) -> None:
    assert bool(gone(plan(world(image("a", **times)), policy()))) is goes


@pytest.mark.parametrize(
    ("rule", "goes"),
    [
        ({"max_age_s": 100 * DAY_S}, False),
        ({"max_age_s": 99.5 * DAY_S}, True),
        ({"max_age_s": None, "min_age_s": 100 * DAY_S}, False),
        ({"max_age_s": None, "min_age_s": 99 * DAY_S}, True),
        ({"max_age_s": 10 * DAY_S, "min_age_s": 100 * DAY_S}, False),
    ],
    ids=["within max age", "just at max age", "within min age", "past min age", "the longer age counts"],
)
def test_too_young_is_never_deleted(rule: dict[str, Any], goes: bool) -> None:
    assert bool(gone(plan(world(image("a", 99.5)), policy(**rule)))) is goes


def test_keep_n_counts_all_of_the_group_and_not_only_what_may_go() -> None:
    """gcr-cleaner counts candidates only, and so keeps N more than it was told."""
    young = [image(f"young{n}", n) for n in range(5)]
    assert gone(plan(world(*young, image("a"), image("b")), policy(keep=5))) == ["a", "b"]


def test_keep_n_counts_each_group_and_owner_apart() -> None:
    staging = image("staging", 300, group="api/staging")
    foreign = [image(f"foreign{n}", 100, owner=None) for n in range(3)]
    assert gone(plan(world(staging, *foreign, image("b"), image("a")), policy(keep=1))) == ["a"]


def test_parts_of_an_image_do_not_use_up_keep_n() -> None:
    parts = [image(f"child{n}", 100) for n in range(4)]
    index = image("index", 100, needs=tuple(part.key for part in parts))
    signature = image("signature", 100, subject="sha256:index")
    made = plan(world(*parts, index, signature, image("before", 150), image("old")), policy(keep=2))
    assert gone(made) == ["old"]


def test_a_tagged_child_of_an_index_counts_as_a_release() -> None:
    index = image("index", 120, needs=("sha256:v1",))
    made = plan(world(index, image("v1", 130, tags=("v1",)), image("old")), policy(keep=2))
    assert gone(made) == ["old"]


def test_untagged_children_of_a_kept_index_survive() -> None:
    """Deleting untagged manifests broke images for kubernoodles, mcp-memory-service, moneyman and many more."""
    index = image("index", 1, tags=("v2",), needs=("sha256:amd64", "sha256:arm64"))
    children = (image("amd64"), image("arm64"), image("loose"))
    made = plan(world(index, *children), policy())
    assert gone(made) == ["loose"]
    assert why(made, children[0]) is Why.NEEDED


def test_signatures_and_sboms_stay_with_what_they_describe() -> None:
    signature, sbom = image("signature", subject="sha256:live"), image("sbom", subject="sha256:signature")
    stray = image("stray", subject="sha256:loose")
    assert gone(plan(world(signature, sbom, stray, image("loose", 100)), policy())) == ["loose", "stray"]


def test_what_is_attached_to_something_unlisted_stays() -> None:
    stray = image("stray", subject="sha256:nowhere")
    assert why(plan(world(stray), policy()), stray) is Why.SUBJECT_UNKNOWN
    assert unlisted(world(stray), policy()) == {"sha256:nowhere"}
    assert gone(plan(world(stray, gone=frozenset({"sha256:nowhere"})), policy())) == ["stray"]


def test_whoever_runs_a_platforms_image_keeps_its_index_and_the_index_of_that() -> None:
    runs = Use("job nightly", ("sha256:amd64",))
    inner, outer = image("inner", needs=("sha256:amd64", "sha256:arm64")), image("outer", needs=("sha256:inner",))
    made = plan(world(image("amd64"), image("arm64"), inner, outer, image("loose"), uses=(runs,)), policy())
    assert gone(made) == ["loose"]


def test_a_child_shared_by_two_indexes_does_not_keep_the_old_one() -> None:
    new, old = image("new", 1, needs=("sha256:shared",)), image("old", needs=("sha256:shared", "sha256:own"))
    assert gone(plan(world(new, old, image("shared"), image("own")), policy())) == ["old", "own"]


def test_revisions_go_before_images_indexes_before_children_and_images_before_their_signatures() -> None:
    made = plan(
        world(
            image("signature", 400, subject="sha256:index"),
            image("child", 400),
            image("index", 300, needs=("sha256:child",)),
            thing(REVISION, "api-00001", 200, needs=("sha256:index",)),
        ),
        policy(),
    )
    assert gone(made)[:2] == ["api-00001", "index"]
    assert set(gone(made)[2:]) == {"child", "signature"}


def test_items_that_need_each_other_in_a_circle_are_refused() -> None:
    made = plan(world(image("a", needs=("sha256:b",)), image("b", needs=("sha256:a",))), policy())
    assert "no order can be right" in made.refusals[0]
    assert not made.steps


def test_what_google_would_refuse_to_delete_is_not_planned() -> None:
    held = image("a", locked="the repository's tags are immutable")
    made = plan(world(held), policy())
    assert why(made, held) is Why.LOCKED


def test_a_kind_without_a_rule_stays() -> None:
    logs = [thing(BUILD_LOG, f"log-{n:02}") for n in range(20)]
    made = plan(world(*logs), replace(policy(), rules={IMAGE: RetentionRule()}))
    assert {why(made, log) for log in logs} == {Why.NO_RULE}


@pytest.mark.parametrize("kind", [SERVICE, BUCKET, SERVICE_ACCOUNT])
@pytest.mark.parametrize("owner", ["shop", None], ids=["orphan", "foreign"])
def test_standing_things_go_only_under_an_explicit_policy(kind: Kind, owner: str | None) -> None:
    item = thing(kind, "leftover", owner=owner)
    reported = plan(world(item), policy(max_age_s=None))
    assert not reported.steps
    assert [report.finding for report in reported.reports] == [ReportKind.ORPHAN if owner else ReportKind.FOREIGN]
    assert gone(plan(world(item), policy(foreign=Foreign.DELETE, max_age_s=None))) == ["leftover"]


@pytest.mark.parametrize("label", MANAGED_BY)
def test_what_something_else_manages_stays_under_any_policy(label: str) -> None:
    """A function is a Cloud Run service: deleted as one, the function is broken."""
    item = thing(SERVICE, "function-1", owner=None, labels={label: "yes"})
    made = plan(world(item), policy(foreign=Foreign.DELETE, max_age_s=None))
    assert not made.steps
    assert why(made, item) is Why.MANAGED


def test_a_service_that_slipway_yaml_defines_is_no_orphan() -> None:
    known = Use("slipway.yaml", ("api",))
    made = plan(world(thing(SERVICE, "api"), uses=(known,)), policy(foreign=Foreign.DELETE))
    assert not made.steps
    assert not made.reports


@pytest.mark.parametrize(
    ("kind", "prepared_h", "action"),
    [
        (SERVICE, None, Action("disable")),
        (SERVICE, 23.9, None),
        (SERVICE, 24, DELETE),
        (BUCKET, None, SOFT_DELETE),
        (BUCKET, 6 * 24, None),
        (BUCKET, 7 * 24, DELETE),
        (SERVICE_ACCOUNT, None, DISABLE),
        (SERVICE_ACCOUNT, 23.9, None),
        (SERVICE_ACCOUNT, 24, DELETE),
    ],
)
def test_reversible_steps_come_first(kind: Kind, prepared_h: float | None, action: Action | None) -> None:
    prepared = None if prepared_h is None else NOW - timedelta(hours=prepared_h)
    made = plan(world(thing(kind, "old", prepared=prepared)), policy(foreign=Foreign.DELETE))
    assert [step.action for step in made.steps] == [action] * bool(action)


def test_what_is_only_prepared_in_this_run_keeps_what_it_needs() -> None:
    account = thing(SERVICE_ACCOUNT, "reader", prepared=ago(3))
    bucket = thing(BUCKET, "files", needs=("reader",))
    rules = policy(foreign=Foreign.DELETE)
    assert gone(plan(world(account, bucket), rules)) == ["files"]
    assert gone(plan(world(account, replace(bucket, prepared=ago(8))), rules)) == ["files", "reader"]


def test_use_names_who_needs_it_and_prefers_who_lives() -> None:
    index = image("index", needs=("sha256:amd64",))
    uses = (Use("release v1", ("sha256:index",), live=False), Use("api", ("sha256:index",)))
    assert used(world(index, image("amd64"), uses=uses))["sha256:amd64"] == "api"


def test_a_user_without_a_name_still_counts() -> None:
    assert gone(plan(world(image("a"), uses=(Use("", ("sha256:a",)),)), policy())) == []


def test_twenty_thousand_items_are_planned_in_seconds() -> None:
    """Half of them indexes that share a child, the case that invites quadratic work."""
    indexes = [image(f"i{n}", 100 + n / 1e3, needs=("sha256:shared", f"sha256:c{n}")) for n in range(10_000)]
    children = [image(f"c{n}", 100 + n / 1e3) for n in range(10_000)]
    releases = tuple(Use(f"release {n}", (f"sha256:i{n}",), live=False) for n in range(100))
    big = world(image("shared"), *indexes, *children, uses=releases)
    start = time.process_time()
    made = plan(big, policy(keep=10))
    assert time.process_time() - start < 20  # half a second on idle cores; quadratic work takes minutes
    assert len(made.steps) == 2 * (10_000 - 100)
