"""What is live against what the history says was released: who serves, with which configuration. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.gcp.run.services import WHOLE
from tasks.drift.compare import Difference, DriftKind, classify, compare, ignored, project_of
from tasks.failures.redact import redact
from tasks.history.masking import masked
from tasks.history.record import ReleaseRecord, State, TargetRecord, good
from tasks.model import Outcome, Place
from tasks.names import resources
from tasks.names.labels import label_value
from tasks.names.naming import config_digest, revision_name
from tasks.rollout.service import SAYS, said_before
from tasks.rollout.service import WHOLE as SAID_OF_ALL
from tasks.spec.merge import is_below, shown_as
from tasks.spec.settings import settings

# Whose run it was is no configuration; tags carry no traffic, and people use them to look at revisions.
OWN_IGNORED = ("template.labels[slipway-run]", "traffic[tag=*", "labels[slipway-*")
_OURS = (
    "traffic[",
    f"template.annotations[{SAYS}]",
    "template.labels[slipway-",
    "template.labels[managed-by]",
    "secrets[",
)
ACCESS, SECRET = "access", "secrets"  # paths of what is not in the service's own body
SHOWN_LENGTH = 200


@dataclass(frozen=True, slots=True)
class Latest:
    """The revision that a service's present template stands for."""

    name: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Around:
    """What belongs to a service and is not in its body."""

    public: bool | None = None  # whether everybody may call it; None where that was not asked
    invokers: frozenset[str] = frozenset()  # who else may
    unusable: tuple[str, ...] = ()  # secret versions that it is pinned to and that are not enabled, "key:3"


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
    """By place, what the newest release of it made live; `history` is newest first.

    Of a service that has had several names in Cloud Run, the newest: what others serve nobody releases any more.
    """
    found: dict[tuple[str, str], Released] = {}
    for record in history:
        if record.state is State.RELEASED:
            for target in record.targets:
                if target.outcome is Outcome.LIVE:
                    found.setdefault((target.service, target.region), Released(record, target))
    return {released.target.place: released for released in found.values()}


def judge(
    run_service: str,
    history: Sequence[ReleaseRecord],
    released: Released,
    live: Mapping[str, Any] | None,
    latest: Latest | None,
    ignore: Sequence[str],
    around: Around = Around(),
) -> Comparison:
    """run_service: its short name in Cloud Run. live: the service's body, None if it is gone."""
    target = released.target
    if live is None:
        gone = (Difference("service", target.revision, None),)
        return Comparison(target.place, DriftKind.CHANGED, released.record, "nothing", gone)
    versions = good_revisions(history, target.place)
    live = {**live, "template": masked(live.get("template") or {})}  # as the records are
    template = expected_template(run_service, history, target, latest)
    desired = {
        **without(live, WHOLE if target.whole is not None else ()),
        **(target.whole or {}),
        "template": live.get("template", {}) if template is None else template,
        "traffic": [{"revision": target.revision, "percent": 100}],
    }
    found = (*compare(desired, live, (*ignore, *OWN_IGNORED)), *beside(target, around, ignore))
    kind = classify(found, versions, said_by(target))
    return Comparison(target.place, kind, released.record, _serving(live, versions), found)


def said_by(target: TargetRecord) -> Callable[[str], bool]:
    """Whether a setting, by its path, is what slipway.yaml said of the release; all of them were for earlier Slipways.

    Traffic is always ours, and so are our own marks on the template and who may call.
    """
    said = said_before(target.template)
    if said is None:
        return lambda _: True
    whole = [path.removeprefix(SAID_OF_ALL) for path in said if path.startswith(SAID_OF_ALL)]
    paths = (*(f"template.{shown_as(path)}" for path in said), *whole, ACCESS)
    return lambda path: path.startswith(_OURS) or is_below(path, paths)


def without(body: Mapping[str, Any], keys: Collection[str]) -> dict[str, Any]:
    """A release writes labels, template and traffic: whatever else a service has is as somebody wanted it to be."""
    return {key: value for key, value in body.items() if key not in keys}


def beside(target: TargetRecord, around: Around, ignore: Sequence[str]) -> tuple[Difference, ...]:
    """Who may call, and secret versions that were enabled when they were released."""
    expected = public_after(target)
    found = [Difference(f"{SECRET}[{name}]", "enabled", "not enabled") for name in around.unusable]
    if None not in (expected, around.public) and expected != around.public:
        said = {True: "everyone", False: "its callers"}
        found.append(Difference(ACCESS, said[bool(expected)], said[bool(around.public)]))
    if around.public is not None:
        lacking = sorted(set(target.invokers or ()) - around.invokers)
        found += [Difference(f"{ACCESS}[{member}]", "let in", "not let in") for member in lacking]
    return tuple(each for each in found if not ignored(each.path, ignore))


def public_after(target: TargetRecord) -> bool | None:
    """Whether everybody could call the service after the release; None where the record does not tell."""
    if target.public or target.was_public is None:
        return target.public or None
    return target.was_public and not target.was_opened


def pinned(live: Mapping[str, Any]) -> tuple[str, ...]:
    """The secret versions that a service's variables are pinned to, "key:3"."""
    found = settings({"template": live.get("template") or {}, "name": live.get("name", "")}, project_of(live))
    names = {str(setting.shown) for path, setting in found.items() if path.endswith("].secret")}
    return tuple(sorted(name for name in names if name.rpartition(":")[2].isdigit()))


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
