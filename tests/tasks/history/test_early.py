"""Records as the first version of Slipway wrote them, letter for letter, and what today's makes of them."""

from __future__ import annotations

from typing import Any

from tasks.history.record import ReleaseRecord, State, good, images_of, version_of
from tasks.model import Outcome, Verdict

IMAGE = "registry.example.com/shop/web@sha256:aa"


def first(app: str = "shop", version: str = "v1", revision: str = "shop-web-v1", **more: Any) -> dict[str, Any]:
    """Of one service, which serves."""
    target = {
        "service": "web", "region": "europe-west1", "revision": revision, "digest": IMAGE.partition("@")[2],
        "before": [], "serving": "", "verdict": "HEALTHY", "reason": "20 of 20", "p50_ms": 3.0, "p95_ms": 9.5,
        "outcome": "live",
    }  # fmt: skip
    return {
        "app": app, "environment": "test", "version": version, "kind": "release", "commit": "c" * 40,
        "run_id": f"0f3a6f0e-6a56-4b0c-9a35-3f6f4f0f6f0{version[-1]}", "trigger": "api",
        "started": f"2026-01-0{version[-1]}T08:00:00Z", "finished": f"2026-01-0{version[-1]}T08:01:00Z",
        "state": "released", "reason": "", "action": "deploy", "irreversible": False, "images": {"web": IMAGE},
        "targets": [target], "seconds": {"build": 12.5}, **more,
    }  # fmt: skip


def test_a_record_of_the_first_version_is_read_whole() -> None:
    release = ReleaseRecord.model_validate(first())
    (target,) = release.targets
    assert (release.state, target.outcome, target.verdict) == (State.RELEASED, Outcome.LIVE, Verdict.HEALTHY)
    assert target.image == IMAGE
    assert not release.is_open
    assert good([release]) == [release]
    (image,) = images_of(release, version_of(release))
    assert image.reference == IMAGE


def test_written_again_it_is_the_same_and_keeps_its_image() -> None:
    release = ReleaseRecord.model_validate(first())
    assert ReleaseRecord.model_validate_json(release.model_dump_json()) == release


def test_an_image_that_is_not_the_one_of_the_digest_is_not_taken_for_it() -> None:
    assert ReleaseRecord.model_validate(first(images={"web": "shop/web@sha256:bb"})).targets[0].image == ""
    assert ReleaseRecord.model_validate(first(images={})).targets[0].image == ""


def test_one_that_did_not_come_to_its_end_is_open_until_somebody_gives_back_what_it_has() -> None:
    planned = [{"service": "web", "region": "europe-west1", "outcome": "planned"}]
    assert ReleaseRecord.model_validate(first(state="started", finished=None, targets=planned)).is_open
