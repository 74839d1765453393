"""Which releases are shipped again, and what of them."""

from __future__ import annotations

from typing import Any

from tasks.drift.compare import DriftKind
from tasks.drift.judge import Comparison
from tasks.drift.repair import goes_with, to_repair
from tasks.history.job_record import JobRecord
from tasks.history.pool_record import PoolRecord
from tasks.history.record import ReleaseRecord
from tasks.model import Place
from tests.tasks.builders import a_record, a_target

TARGETS = (a_target("api", "api-1"), a_target("web", "web-1"))
IMAGES = {"api": "shop/api@sha256:1", "web": "shop/web@sha256:2", "report": "shop/report@sha256:3"}
TIDY = JobRecord(job="tidy", name="jobs/shop-tidy", image=IMAGES["api"])
REPORT = JobRecord(job="report", name="jobs/shop-report", image=IMAGES["report"])
MAILER = PoolRecord(pool="mailer", name="workerPools/shop-mailer", image=IMAGES["web"])


def released(version: str = "v1.0.0", day: int = 1, **more: Any) -> ReleaseRecord:
    facts = {"targets": TARGETS, "images": IMAGES, "jobs": (TIDY, REPORT), "pools": (MAILER,), **more}
    return a_record(version, day, **facts)


def drifted(record: ReleaseRecord, service: str, kind: DriftKind = DriftKind.CHANGED) -> Comparison:
    return Comparison(Place(service, "europe-west1"), kind, record, record.version)


def test_where_only_a_job_or_a_pool_drifted_its_release_is_shipped_again_with_the_service_of_its_image() -> None:
    record = released()
    assert to_repair([drifted(record, "api", DriftKind.NONE)], [(record, TIDY)]) == [(record, ["api"])]
    assert to_repair([], [(record, MAILER)]) == [(record, ["web"])]
    assert to_repair([], [(record, TIDY), (record, MAILER)]) == [(record, ["api", "web"])]


def test_one_with_an_image_of_its_own_goes_with_all_services() -> None:
    assert goes_with(released(), REPORT) == {"api", "web"}
    assert goes_with(released(images={}), TIDY.model_copy(update={"image": ""})) == {"api", "web"}


def test_the_oldest_release_is_shipped_first_and_each_once() -> None:
    old, new = released(), released("v2.0.0", 2)
    found = to_repair([drifted(new, "web"), drifted(new, "api", DriftKind.TRAFFIC)], [(old, TIDY), (new, MAILER)])
    assert found == [(old, ["api"]), (new, ["api", "web"])]


def test_where_a_person_went_back_nothing_is_shipped() -> None:
    kinds = set(DriftKind) - {DriftKind.CHANGED, DriftKind.TRAFFIC}
    assert to_repair([drifted(released(), "api", kind) for kind in kinds], []) == []


def test_what_could_only_be_shipped_with_a_service_that_a_person_went_back_with_is_left_alone() -> None:
    """A job that had drifted, of the same image, or the same service in another region, took the traffic forward."""
    record = released()
    back, far = drifted(record, "api", DriftKind.ROLLED_BACK), drifted(record, "api")
    assert to_repair([back], [(record, TIDY)], {"api"}) == []
    assert to_repair([back, far, drifted(record, "web")], [(record, REPORT)], {"api"}) == [(record, ["web"])]
