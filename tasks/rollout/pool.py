"""The Cloud Run worker pool that a release asks for, and how its instances pass to a new revision. Pure.

https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.workerPools
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.gcp.run.revisions import Revision
from infra.gcp.run.worker_pools import WHOLE as FIELDS_OF_ALL
from infra.gcp.run.worker_pools import RunPool, Split, split_body, template_from
from tasks.history.pool_record import PoolRecord
from tasks.manifest.settings import PoolSettings
from tasks.manifest.values import SecretRef
from tasks.model import Image, Request, Version
from tasks.names import resources
from tasks.names.labels import label_value
from tasks.names.naming import config_digest, revision_name
from tasks.rollout.said import Where, said_pool, said_pool_whole
from tasks.rollout.service import SAYS, WHOLE, said_before, without_idle_volumes
from tasks.spec.bare import bare
from tasks.spec.merge import leaves, merged
from tasks.spec.settings import meaning

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class DesiredPool:
    """A worker pool as it should be: the template's name follows from everything in it."""

    revision: str
    template: Mapping[str, Any]  # without the name
    whole: Mapping[str, Any]  # description, labels and scaling, once its instances are of the revision


def desired_pool(
    request: Request, version: Version, image: Image, name: str, versions: Mapping[SecretRef, int], live: RunPool | None
) -> DesiredPool:
    """What is said, over what is there. versions: the number of each secret."""
    settings = request.pool(name)
    where = Where(request.project, settings.region or request.build_region)
    template = pool_template(settings, image, versions, where, live)
    own = request.labels | {
        "slipway-version": label_value(version.version),
        "slipway-commit": version.commit[:40],
        "slipway-pool": label_value(name),
    }
    run = {"slipway-run": label_value(request.run_id)}
    others = {key: text for key, text in template.pop("labels", {}).items() if key not in own | run}
    stands_for = {"template": meaning(template, request.project), "labels": others | own}
    short = resources.last(request.run_pool(name))
    revision = revision_name(short, version.version, config_digest(stands_for))
    whole = pool_whole(settings, live)
    whole["labels"] = {**whole.get("labels", {}), **own, **run}
    return DesiredPool(revision, {**template, "labels": others | own | run}, whole)


def pool_template(
    settings: PoolSettings, image: Image, versions: Mapping[SecretRef, int], where: Where, live: RunPool | None
) -> Body:
    """Everything of the revision but its name and our labels."""
    said = said_pool(settings, image, versions, where)
    base = bare_pool(live.template) if live else {}
    template = without_idle_volumes(merged(base, said_before(base) or frozenset(), said, {}), base)
    paths = [*leaves(said), *(f"{WHOLE}{path}" for path in leaves(said_pool_whole(settings)))]
    says = json.dumps(sorted(paths), separators=(",", ":"))
    return {**template, "annotations": {**template.get("annotations", {}), SAYS: says}}


def pool_whole(settings: PoolSettings, live: RunPool | None) -> Body:
    """What is said of the pool as a whole, over what is there; what was said before and is no more goes."""
    return _whole_over(live, said_pool_whole(settings))


def whole_then(live: RunPool, template: Mapping[str, Any], whole: Mapping[str, Any]) -> Body:
    """What an earlier release had said of the pool as a whole, over what is there now.

    template, whole: as that release has recorded them.
    """
    paths = {path.removeprefix(WHOLE) for path in said_before(template) or () if path.startswith(WHOLE)}
    labels = {
        key: text
        for key, text in whole.get("labels", {}).items()
        if f"labels[{key}]" in paths or key == "managed-by" or key.startswith("slipway-")
    }
    said = {key: whole[key] for key in ("description", "scaling") if any(p.startswith(key) for p in paths)}
    return _whole_over(live, {**said, "labels": labels})


def _whole_over(live: RunPool | None, said: Mapping[str, Any]) -> Body:
    there = {key: value for key, value in (live.body if live else {}).items() if key in ("description", "labels")}
    there |= {"scaling": {"manualInstanceCount": live.instances}} if live else {}
    before = (said_before(live.template) or frozenset()) if live else frozenset()
    whole = merged(there, {path.removeprefix(WHOLE) for path in before if path.startswith(WHOLE)}, said, {})
    whole.setdefault("scaling", {"manualInstanceCount": 1})
    return whole


def bare_pool(template: Mapping[str, Any]) -> Body:
    """Without what Cloud Run filled in, and without our own marks but for what was said."""
    labels = {k: v for k, v in template.get("labels", {}).items() if not k.startswith("slipway-") and k != "managed-by"}
    body = {**bare(template, requests=False), "labels": labels}
    return {key: value for key, value in body.items() if value not in ({}, [])}


def whole_body(whole: Mapping[str, Any]) -> Body:
    """All that is said of a pool as a whole, also what is not set: that goes where it is written."""
    return {"description": "", "labels": {}, **whole}


def steps_in_instances(steps: Sequence[int], instances: int) -> tuple[int, ...]:
    """How many instances the new revision has, step by step on the way to all: never none, and never all.

    steps: percent. Of three instances 5 % is none at all for Cloud Run, so at least one of them takes part.
    """
    many = (max(1, round(instances * percent / 100)) for percent in steps)
    return tuple(sorted({each for each in many if each < instances}))


def split_for(
    before: Sequence[Split], latest_ready: str, revision: str, many: int, instances: int
) -> tuple[Split, ...]:
    """The splits by which `many` of the instances are the revision's; the others keep their parts of the rest.

    Rounded up, so that it is that many however Cloud Run rounds.
    """
    percent = -(-100 * many // instances)
    shares: dict[str, int] = {}
    for split in before or (Split(None, 100),):
        name = split.revision or latest_ready
        if name and name != revision:
            shares[name] = shares.get(name, 0) + split.percent
    whole, left = sum(shares.values()), 100 - percent
    if not whole or not left:
        return (Split(revision, 100),)
    parts = {name: share * left // whole for name, share in shares.items()}
    largest = max(shares, key=lambda name: (shares[name], name))
    parts[largest] += left - sum(parts.values())
    return (*(Split(name, part) for name, part in sorted(parts.items()) if part), Split(revision, percent))


def named(live: RunPool) -> str:
    """The revision that its template is of."""
    return str(live.template.get("revision") or live.latest_created)


def as_it_is(live: RunPool | None) -> Body:
    """What a record keeps of how a pool was before it was written, by the record's names."""
    if live is None:
        return {"existed": False, "stands_for": "", "before": (), "was_whole": {}}
    whole = {key: value for key, value in live.body.items() if key in FIELDS_OF_ALL}
    return {
        "existed": True,
        "stands_for": named(live),
        "before": shares_of(live.splits or (Split(None, 100),)),
        "was_whole": whole | {"scaling": {"manualInstanceCount": live.instances}},
    }


def is_as_before(live: RunPool, known: PoolRecord) -> bool:
    whole = {key: value for key, value in live.body.items() if key in FIELDS_OF_ALL}
    there = (named(live), shares_of(live.splits or (Split(None, 100),)), whole_body(whole))
    return there == (known.stands_for, known.before, whole_body(known.was_whole))


def body_before(live: RunPool, known: PoolRecord, revision: Revision | None) -> Body:
    """With the template the instances follow the newest revision again, where they did.

    revision: that of the template before, where that is to be written. What others have set of the pool stays.
    """
    follows = revision is not None or live.latest_created == known.stands_for
    splits = [Split(name or (None if follows else known.stands_for), percent) for name, percent in known.before]
    there, was = {"description": "", "labels": {}, **live.body}, whole_body(known.was_whole)
    now = whole_body(known.whole)
    ours = {key: was[key] for key in FIELDS_OF_ALL if key in was and there.get(key) == now.get(key)}
    body = {**ours, "instanceSplits": [split_body(each) for each in splits]}
    return body | ({"template": template_from(revision)} if revision else {})


def shares_of(splits: Sequence[Split]) -> tuple[tuple[str, int], ...]:
    """As a record keeps them."""
    return tuple((split.revision or "", split.percent) for split in splits)


def splits_of(shares: Sequence[tuple[str, int]]) -> tuple[Split, ...]:
    return tuple(Split(revision or None, percent) for revision, percent in shares)
