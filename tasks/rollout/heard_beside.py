"""What slipway.yaml would have to say for a job or a worker pool to be as it is: the way back of `said`. Pure."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from tasks.manifest.values import AnnotationKey, LabelKey, LabelValue
from tasks.rollout.heard import (
    Heard,
    gpu_of,
    joined,
    mounts_of,
    over,
    probes_of,
    take,
    texts_of,
    variables_of,
    vpc_of,
    words_of,
)
from tasks.rollout.job import VALUES
from tasks.rollout.mounts import Rest
from tasks.rollout.said import Body, Where
from tasks.rollout.service import SAYS
from tasks.rollout.words import CONTAINER, TEMPLATE, Word, duration
from tasks.spec.settings import SERVER_FIELDS

_OWN = {"command", "args", "cpu", "memory"}  # of the words of containers
_OF_ALL = {"service_account", "encryption_key"}  # of those of templates
# Of jobs and pools alone, as Cloud Run reports them; there is one environment for both.
_JOB = (Word("tasks", "taskCount", 1, hear=int), Word("parallelism", "parallelism", 0, hear=int))
_TASK = (Word("max_retries", "maxRetries", 3, hear=int), Word("timeout_s", "timeout", "10m", hear=duration))
_NEITHER = ("executionEnvironment",)
_ABOUT = {*SERVER_FIELDS, "launchStage", "executionCount", "latestCreatedExecution", "instanceSplitStatuses",
          "instanceSplits", "startExecutionToken", "runExecutionToken"}  # fmt: skip


def heard_job(job: Mapping[str, Any], where: Where) -> Heard:
    """Of a Job of v2 as JSON."""
    rest, body = Rest(where), _settings(job)
    template = body.pop("template", {})
    task = template.pop("template", {})
    found: Body = words_of(_JOB, template, "template", rest) | words_of(_TASK, task, "template.template", rest)
    found |= _words_of_both(body, template, rest)
    more, image = _container(task, "template.template", rest)
    return _heard(found | more, image, body, {"template": template, "template.template": task}, rest)


def heard_pool(pool: Mapping[str, Any], where: Where) -> Heard:
    """Of a WorkerPool of v2 as JSON, its template that of the revision which has most of the instances."""
    rest, body = Rest(where), _settings(pool)
    template = body.pop("template", {})
    template.pop("revision", None)
    scaling = body.pop("scaling", {})
    count = int(scaling.pop("manualInstanceCount", 1))
    found: Body = {"scaling": count} if count != 1 else {}
    found |= words_of((Word("description", "description"),), body, "", rest)
    found |= _words_of_both(body, template, rest)
    more, image = _container(template, "template", rest)
    return _heard(found | more, image, body, {"template": template}, rest)


def _settings(resource: Mapping[str, Any]) -> Body:
    return {key: copy.deepcopy(value) for key, value in resource.items() if key not in _ABOUT}


def _heard(found: Body, image: str, body: Body, parts: Mapping[str, Body], rest: Rest) -> Heard:
    for key, value in body.items():
        rest.over(key, value)
    for path, part in parts.items():
        for key, value in part.items():
            rest.over(f"{path}.{key}", value)
    said = {key: value for key, value in found.items() if value not in (None, {}, [])}
    return Heard(said, image, rest.left, tuple(rest.floating))


def _words_of_both(body: Body, template: Body, rest: Rest) -> Body:
    """Labels of both are said once; those of one of them have no word."""
    ours = texts_of(body.pop("labels", {}), "labels", LabelKey, LabelValue, rest)
    theirs = texts_of(template.pop("labels", {}), "template.labels", LabelKey, LabelValue, rest)
    labels = {key: text for key, text in ours.items() if theirs.get(key) == text}
    for path, some in (("labels", ours), ("template.labels", theirs)):
        for key in some.keys() - labels.keys():
            rest.left[f"{path}[{key}]"] = some[key]
    annotations = {k: text for k, text in template.pop("annotations", {}).items() if k not in (SAYS, VALUES)}
    kept = texts_of(annotations, "template.annotations", AnnotationKey, str, rest)
    for key, text in texts_of(body.pop("annotations", {}), "annotations", AnnotationKey, str, rest).items():
        rest.left[f"annotations[{key}]"] = text
    return {"labels": labels, "annotations": kept}


def _container(template: Body, path: str, rest: Rest) -> tuple[Body, str]:
    """What is said of the first container and of what is around it, taken out of the template; and its image."""
    for key in _NEITHER:
        template.pop(key, None)
    first, *others = template.pop("containers", ()) or [{}]
    for number, each in enumerate(others, 1):
        rest.over(f"{path}.containers[{each.get('name', number)}]", each)
    volumes = {volume["name"]: volume for volume in template.pop("volumes", ())}
    at = f"{path}.containers[0]"
    first.pop("name", None)
    image = str(first.pop("image", ""))
    found = words_of([word for word in CONTAINER if word.key in _OWN], first, at, rest)
    found |= words_of([word for word in TEMPLATE if word.key in _OF_ALL], template, path, rest)
    found |= gpu_of(template, first) | vpc_of(template, rest)
    found |= variables_of(first, at, rest) | probes_of(first, at, rest)
    take(first, "resources.cpuIdle")
    take(first, "resources.startupCpuBoost")
    for seen in mounts_of(first, volumes, at, rest):
        found = joined(found, seen)
    over(first, at, rest)
    for name, volume in volumes.items():
        if name not in rest.seen:
            rest.over(f"{path}.volumes[{name}]", volume)
    return found, image
