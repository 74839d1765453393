"""What a service's template becomes again, and whether its traffic follows the newest revision again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from google.cloud import run_v2

from infra.gcp.run.revisions import UNTOLD
from infra.gcp.run.traffic import TrafficTarget as Target
from tasks.model import Place, Snapshot
from tasks.names.naming import revision_name
from tasks.rollout.former import following_again, former_template, written_for
from tests.tasks.rollout.test_live import a_revision

UNTOLD_ONE = min(UNTOLD)
BEFORE = Snapshot(Place("api", "europe-west1"), (Target(None, 100),), "v1", "v1", stands_for="v1",
                  config={"revision": "v1", "timeout": "5s", UNTOLD_ONE: "kept"})  # fmt: skip


@pytest.mark.parametrize("digest", ["0" * 64, "f" * 64])
def test_a_revision_is_told_by_its_version_whatever_its_configuration(digest: str) -> None:
    ours = written_for("shop-api", "v1.4.0")
    assert ours(revision_name("shop-api", "v1.4.0", digest))
    assert ours(f"{revision_name('shop-api', 'v1.4.0', digest)}-r2")
    for other in ("v1.4.1", "v1.4.0-rc.1", "v1.4.01"):
        assert not ours(revision_name("shop-api", other, digest)), other
    assert not ours("shop-api-00007-abc")


def test_the_template_is_that_of_the_revision_under_its_name_with_what_no_revision_tells() -> None:
    wire = run_v2.Revision.pb()(timeout={"seconds": 9}, max_instance_request_concurrency=7).SerializeToString()
    former = former_template(BEFORE, replace(a_revision("v1"), wire=wire))
    assert former == {"revision": "v1", "timeout": "9s", "maxInstanceRequestConcurrency": 7, UNTOLD_ONE: "kept"}


def test_without_the_revision_a_new_one_is_made_of_the_template_as_it_was_read() -> None:
    assert former_template(BEFORE, None) == {"timeout": "5s", UNTOLD_ONE: "kept"}


TAGGED = (Target("v1", 100), Target("v2", 0, "v2"))


@pytest.mark.parametrize(
    ("before", "now", "then"),
    [
        ((Target(None, 100),), TAGGED, (Target(None, 100), Target("v2", 0, "v2"))),
        ((Target(None, 100), Target("v1", 0, "v1")), (Target("v1", 100), Target("v1", 0, "v1")),
         (Target(None, 100), Target("v1", 0, "v1"))),
        ((Target(None, 100),), (Target("v1", 100, "v1"),), (Target(None, 100), Target("v1", 0, "v1"))),
        ((Target(None, 60), Target("v0", 40)), (Target("v0", 40), Target("v1", 60)),
         (Target(None, 60), Target("v0", 40))),
        ((Target(None, 60), Target("v0", 40)), (Target("v0", 39), Target("v1", 61)), None),
        ((Target(None, 60), Target("v0", 40)), (Target("v0", 41), Target("v1", 59)), None),
        ((Target("v1", 100),), TAGGED, None),
        ((Target(None, 60), Target("v1", 40)), (Target("v1", 60), Target("v2", 40)), None),
        ((Target(None, 100), Target("v1", 0, "v1")), (Target("v2", 100),), None),
    ],
    ids=["all", "it has a tag", "all, with its tag", "a part", "less than then", "more than then", "pinned then",
         "some pinned then", "it has none"],
)  # fmt: skip
def test_traffic_follows_the_newest_revision_again_where_it_did_and_only_there(
    before: tuple[Target, ...], now: tuple[Target, ...], then: tuple[Target, ...] | None
) -> None:
    assert following_again(now, replace(BEFORE, traffic=before)) == (now if then is None else then)


def test_it_does_not_where_the_newest_revision_was_not_the_templates() -> None:
    before = replace(BEFORE, latest_ready="v0")
    assert following_again(TAGGED, before) is TAGGED
