"""What is live against what the history says was released: who serves, with which configuration. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.drift.compare import Difference, DriftKind, classify, compare
from tasks.failures.redact import redact
from tasks.history.record import ReleaseRecord, State, TargetRecord, good
from tasks.model import Outcome, Place
from tasks.names import resources
from tasks.names.labels import label_value
from tasks.names.naming import config_digest, revision_name

# Whose run it was is no configuration; tags carry no traffic, and people use them to look at revisions.
OWN_IGNORED = ("template.labels[slipway-run]", "traffic[tag=*")
SHOWN_LENGTH = 200


@dataclass(frozen=True, slots=True)
class Latest:
    """The revision that a service's present template stands for."""

    name: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Released:
    """What a release made live in one place."""

    record: ReleaseRecord
    target: TargetRecord


@dataclass(frozen=True, slots=True)
class Comparison:
    """One service in one region: as it was released, and as it is."""

    place: Place
    kind: DriftKind
    released: ReleaseRecord
    serving: str  # what has most of the traffic now: a version where it is known, else a revision
    differences: tuple[Difference, ...] = ()


def released_targets(history: Sequence[ReleaseRecord]) -> dict[Place, Released]:
    """By place, what the newest release of it made live; `history` is newest first."""
    found: dict[Place, Released] = {}
    for record in history:
        if record.state is State.RELEASED:
            for target in record.targets:
                if target.outcome is Outcome.LIVE:
                    found.setdefault(target.place, Released(record, target))
    return found


def judge(
    run_service: str,
    history: Sequence[ReleaseRecord],
    released: Released,
    live: Mapping[str, Any] | None,
    latest: Latest | None,
    ignore: Sequence[str],
) -> Comparison:
    """run_service: its short name in Cloud Run. live: the service's body, None if it is gone."""
    target = released.target
    if live is None:
        gone = (Difference("service", target.revision, None),)
        return Comparison(target.place, DriftKind.CHANGED, released.record, "nothing", gone)
    versions = good_revisions(history, target.place)
    template = expected_template(run_service, history, target, latest)
    desired = {
        "name": live.get("name", ""),
        "labels": live.get("labels", {}),  # a release adds its own and leaves the others alone
        "template": live.get("template", {}) if template is None else template,
        "traffic": [{"revision": target.revision, "percent": 100}],
    }
    found = compare(desired, live, (*ignore, *OWN_IGNORED))
    kind = classify(found, versions)
    return Comparison(target.place, kind, released.record, _serving(live, versions), found)


def good_revisions(history: Sequence[ReleaseRecord], place: Place) -> dict[str, str]:
    """The version of every revision that was seen healthy there, by the revision's name."""
    return {
        target.revision: record.version
        for record in good(history)
        for target in record.targets
        if target.place == place and target.revision
    }


def expected_template(
    run_service: str, history: Sequence[ReleaseRecord], target: TargetRecord, latest: Latest | None
) -> Mapping[str, Any] | None:
    """The template that the service should have; None when it is one of ours of which nothing was recorded.

    A rollback moves traffic and leaves the newer template, and so does a release that failed: what is expected is what
    the last run wrote, if a run wrote it.
    """
    recorded = (each for record in history for each in record.targets)
    wrote = next((each for each in recorded if latest and each.revision == latest.name and each.template), None)
    if wrote is None and latest and any(_made_by(record, run_service, latest) for record in history):
        return None
    return (wrote or target).template or None


def _made_by(record: ReleaseRecord, run_service: str, latest: Latest) -> bool:
    """Whether a run of ours made the revision, although it did not come to record that."""
    name = revision_name(run_service, record.version, config_digest({}))
    return latest.labels.get("slipway-run") == label_value(record.run_id) and latest.name.startswith(name[:-8])


def _serving(live: Mapping[str, Any], versions: Mapping[str, str]) -> str:
    shares = live.get("trafficStatuses") or live.get("traffic") or ()
    most: Mapping[str, Any] = max(shares, key=lambda share: int(share.get("percent") or 0), default={})
    revision = resources.last(str(most.get("revision") or live.get("latestReadyRevision") or "nothing"))
    return versions.get(revision, revision)


def unreleased(compared: Sequence[Comparison], repository: str | None) -> list[str]:
    """The services whose newest release is not the version that the repository holds."""
    return sorted({each.place.service for each in compared if repository not in (None, each.released.version)})


def rows(compared: Sequence[Comparison], repository: str | None) -> list[dict[str, str]]:
    """One row per difference, one for a service without any; other programs read this table, so its columns stay."""
    table = []
    for each in compared:
        first = {"service": each.place.service, "region": each.place.region, "drift": str(each.kind)}
        first |= {"repository": repository or "", "released": each.released.version, "serving": each.serving}
        table += [
            {
                **first,
                "setting": difference.path,
                "as released": shown(difference.path, difference.desired),
                "live": shown(difference.path, difference.live),
            }
            for difference in each.differences or (Difference("", "", ""),)
        ]
    return table


def shown(path: str, value: object) -> str:
    """The value as people may see it: what a variable's name says is secret stays hidden."""
    if value is None:
        return "not there"
    name = path.rpartition("[")[2].rstrip("]") if ".env[" in path else ""
    text = redact(f"{name}={value}").partition("=")[2] if name else redact(str(value))
    return text[:SHOWN_LENGTH]
