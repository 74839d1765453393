"""The Cloud Run job that a release asks for, and what is kept of the one that was there. Pure.

A job has no revisions: what it was is to be had from the record of the release that changed it, which does not hold the
values of plain variables. Those the job itself keeps, in an annotation, for who may read the job may read them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from infra.gcp.run.jobs import RunJob
from tasks.history.masking import DIGEST, masked_job, with_values
from tasks.manifest.settings import JobSettings
from tasks.manifest.values import SecretRef
from tasks.model import Image, Request, Version
from tasks.names.labels import label_value
from tasks.rollout.said import Where, said_job
from tasks.rollout.service import SAYS, said_before, without_idle_volumes
from tasks.spec.bare import bare
from tasks.spec.merge import leaves, merged

VALUES = "slipway-values"  # the annotation with values of variables that the job had before, by their SHA-256, as JSON
MOST_VALUES, MOST_TEXT = 200, 64_000  # all annotations together may have 256 KiB
MARKS = ("slipway-version", "slipway-commit", "slipway-run")  # labels of a job that say which release it is of
Body = dict[str, Any]


def desired_job(
    request: Request, version: Version, image: Image, name: str, versions: Mapping[SecretRef, int], live: RunJob | None
) -> Body:
    """The template of the job's executions: what is said, over what is there. versions: the number of each secret."""
    settings = request.job(name)
    where = Where(request.project, settings.region or request.build_region)
    template = job_template(settings, image, versions, where, live)
    marks = request.labels | {
        "slipway-version": label_value(version.version),
        "slipway-commit": version.commit[:40],
        "slipway-job": label_value(name),
        "slipway-run": label_value(request.run_id),
    }
    return {**template, "labels": {**template.get("labels", {}), **marks}}


def job_template(
    settings: JobSettings, image: Image, versions: Mapping[SecretRef, int], where: Where, live: RunJob | None
) -> Body:
    """All but our labels."""
    said = said_job(settings, image, versions, where)
    base = bare_job(live.template) if live else {}
    template = merged(base, said_before(base) or frozenset(), said, {})
    task = without_idle_volumes(template["template"], base.get("template", {}))
    annotations = {**template.get("annotations", {}), SAYS: json.dumps(sorted(leaves(said)), separators=(",", ":"))}
    if live and (kept := json.dumps(values_to_keep(live.template, task), separators=(",", ":"))) != "{}":
        annotations[VALUES] = kept
    return {**template, "template": task, "annotations": annotations}


def job_labels(request: Request, name: str, template: Mapping[str, Any], live: RunJob | None) -> dict[str, str]:
    """Of the job itself: what is said and our marks, over what others have set; what was said before goes."""
    said = request.job(name).labels
    before = (said_before(live.template) or frozenset()) if live else frozenset()
    others = {key: text for key, text in (live.labels if live else {}).items() if f"labels[{key}]" not in before}
    return {**others, **said, **request.labels, **marks_of(template)}


def marks_of(template: Mapping[str, Any]) -> dict[str, str]:
    """What a template says of the release that wrote it."""
    return {key: text for key, text in template.get("labels", {}).items() if key in MARKS}


def bare_job(template: Mapping[str, Any]) -> Body:
    """Without what Cloud Run filled in, and without our own marks but for what was said."""
    labels = {k: v for k, v in template.get("labels", {}).items() if not k.startswith("slipway-") and k != "managed-by"}
    annotations = {k: v for k, v in template.get("annotations", {}).items() if k != VALUES}
    task = bare(template.get("template", {}), requests=False)
    body = {**template, "labels": labels, "annotations": annotations, "template": task}
    return {key: value for key, value in body.items() if value not in ({}, [])}


def recorded_job(template: Mapping[str, Any]) -> Body:
    """As a record keeps it: without values of variables."""
    annotations = {k: v for k, v in template.get("annotations", {}).items() if k != VALUES}
    return {**masked_job(template), "annotations": annotations}


def values_to_keep(before: Mapping[str, Any], task: Mapping[str, Any]) -> dict[str, str]:
    """What the job's variables were and are not any more, by SHA-256; the oldest go first when it becomes much."""
    kept: dict[str, str] = json.loads(before.get("annotations", {}).get(VALUES, "{}"))
    now = _values(task)
    kept = {
        digest: text for digest, text in {**kept, **_values(before.get("template", {}))}.items() if digest not in now
    }
    while kept and (len(kept) > MOST_VALUES or sum(map(len, kept.values())) > MOST_TEXT):
        kept.pop(next(iter(kept)))
    return kept


def restored_job(recorded: Mapping[str, Any], live: Mapping[str, Any]) -> tuple[Body, tuple[str, ...]]:
    """The recorded template with the values that the live one knows; and the variables whose values nobody knows."""
    known = {**json.loads(live.get("annotations", {}).get(VALUES, "{}")), **_values(live.get("template", {}))}
    missing: list[str] = []
    task = with_values(recorded.get("template", {}), lambda entry: _unmasked(entry, known, missing))
    made = {**recorded, "template": task}
    kept = json.dumps(values_to_keep(live, made["template"]), separators=(",", ":"))
    annotations = {**recorded.get("annotations", {}), **({VALUES: kept} if kept != "{}" else {})}
    return {**made, "annotations": annotations}, tuple(missing)


def same_job(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two templates say the same, be values of variables shown or not."""
    return recorded_job(_plain(one)) == recorded_job(_plain(other))


def _plain(template: Mapping[str, Any]) -> Body:
    body = {**template, "template": bare(template.get("template", {}), requests=False)}
    return {key: value for key, value in body.items() if value not in ({}, [])}


def _unmasked(entry: Mapping[str, Any], known: Mapping[str, str], missing: list[str]) -> Mapping[str, Any]:
    digest = entry.get(DIGEST)
    if digest is None:
        return entry
    if digest not in known:
        missing.append(entry["name"])
    return {"name": entry["name"], "value": known.get(digest, "")}


def _values(task: Mapping[str, Any]) -> dict[str, str]:
    plain: list[str] = []

    def look(entry: Mapping[str, Any]) -> Mapping[str, Any]:
        if not entry.get("valueSource") and DIGEST not in entry:
            plain.append(str(entry.get("value", "")))
        return entry

    with_values(task, look)
    return {hashlib.sha256(text.encode()).hexdigest(): text for text in plain}
