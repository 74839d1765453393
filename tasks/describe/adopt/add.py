"""One more environment in a slipway.yaml that is there: lines are put in, and none that is there is touched. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import yaml

from tasks.describe.adopt.adopt import Adoption, checked
from tasks.describe.adopt.render import comment, environment_lines, manifest_text, own_lines, service_lines
from tasks.describe.adopt.seen import Kind, Seen
from tasks.describe.adopt.together import Adopted, Settings, Target, together
from tasks.failures.cause import Cause
from tasks.failures.errors import ManifestError, ParameterError
from tasks.manifest.cloud_run import cpus
from tasks.manifest.loading import CORRECT, Judged, judge, told
from tasks.manifest.manifest import BY_NAME, Manifest
from tasks.manifest.settings import OWN_NAME, Runtime, ServiceSettings

_ENTRIES = (*BY_NAME, "env", "secrets")
_NOT_SEEN = ("health", "env_file")  # of slipway.yaml, and not of the service
_OTHER = {"env": "secrets", "secrets": "env"}


def add(former: str, name: str, app: str, target: Target, seen: Sequence[Seen], notes: Sequence[str] = ()) -> Adoption:
    """former: the text of the file `name`. Raises ManifestError where it is faulty, ParameterError where that is of
    something else.
    """
    judged = judge(former, name)
    if judged.manifest is None:
        raise ManifestError(told(judged.faults, name), CORRECT)
    manifest = judged.manifest
    _refuse(manifest, name, app, target)
    services = together(app, target, [each for each in seen if each.kind is Kind.SERVICE], dict(_names(manifest)))
    notes = (*notes, *_beside(manifest, seen))
    alone = checked(lambda some, more: manifest_text(app, target, some, more), services, target.name, notes)

    def written(services: Sequence[Adopted], notes: Sequence[str]) -> str:
        return _text(former, judged, manifest, target, services, notes)

    return checked(written, alone.services, target.name, alone.notes)


def _beside(manifest: Manifest, seen: Sequence[Seen]) -> Iterator[str]:
    """What there is of jobs and worker pools: one that slipway.yaml has is as it says there, in every environment."""
    known = {(kind, part.run_name or f"{manifest.app}-{key}") for kind in (Kind.JOB, Kind.POOL)
             for key, part in getattr(manifest, kind).items()}  # fmt: skip
    for each in seen:
        if each.kind is not Kind.SERVICE:
            word = each.kind.removesuffix("s").replace("_", " ")
            said = "releases make it as it is said there" if (each.kind, each.name) in known else "it is not said here"
            yield f"DECIDE what of the {word} {each.name} differs here, under {each.kind}: {said}."


def _refuse(manifest: Manifest, name: str, app: str, target: Target) -> None:
    if manifest.app != app:
        raise ParameterError(
            f"{name} describes the app {manifest.app}, not {app}.", "give its --app, or another file with --output."
        )
    if target.name in manifest.environments:
        raise ParameterError(
            f"{name} has an environment {target.name} already, and nothing is written over it.",
            "give the environment another name with --environment, or see what would be new with --output -.",
            Cause.ALREADY_EXISTS,
        )


def _names(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """What services are called in Cloud Run, wherever they are, and what slipway.yaml calls them."""
    for key, service in manifest.services.items():
        own = (each.services[key].run_name for each in manifest.environments.values() if key in each.services)
        yield from ((name, key) for name in (f"{manifest.app}-{key}", service.run_name, *own) if name)


def _text(
    former: str, judged: Judged, manifest: Manifest, target: Target, services: Sequence[Adopted], notes: Sequence[str]
) -> str:
    root = judged.document.root
    new = [each for each in services if each.key not in manifest.services]
    own = [(each, difference(manifest, each)) for each in services]
    there = {each.key for each in services}
    told = [
        *notes,
        *(f"{key} is not there: the first release makes it." for key in manifest.services if key not in there),
    ]
    told += [f"{each.key}: {note}" for each in services if each not in new for note in each.notes]
    told += [f"DECIDE {each.key}: {sentence}" for each in services if each not in new for sentence in each.decide]
    at, indent, step = _place(root, "environments")
    differs = [*(comment(note, indent + step) for note in told), *own_lines(own, indent + step, step)]
    insertions = [(at, list(environment_lines(target, indent, step, differs)))]
    if new:
        others = ", ".join(manifest.environments)
        at, indent, _ = _place(root, "services")
        said = (replace(each, unknown=(f"whether it is to be in {others} too: releases make it there.", *each.unknown))
                for each in new)  # fmt: skip
        insertions.append((at, [line for each in said for line in service_lines(each, indent)]))
    lines = former.splitlines(keepends=True)
    for at, added in sorted(insertions, reverse=True):
        lines[at:at] = [f"{line}\n" for line in added]
        if at and not lines[at - 1].endswith("\n"):
            lines[at - 1] += "\n"
    return "".join(lines)


def difference(manifest: Manifest, adopted: Adopted) -> Settings:
    """What an environment has to say of a service so that it is there as it was found."""
    if adopted.key not in manifest.services:
        return adopted.here
    base, own = manifest.services[adopted.key], f"{manifest.app}-{adopted.key}"
    settings = {**adopted.settings, **adopted.here}
    wanted = ServiceSettings.model_validate({**settings, OWN_NAME: adopted.key})
    found: Settings = {}
    for field, info in Runtime.model_fields.items():
        key, there, here = info.alias or field, getattr(base, field), getattr(wanted, field)
        if field not in wanted.model_fields_set:
            here = _usual(wanted, field)
        if field == "run_name":
            there, here = there or own, here or own
        if there == here or field in _NOT_SEEN or (field == "image" and there is None):
            continue
        found[key] = _entries(settings, key, there, here) if field in _ENTRIES else _said(settings, key, here)
    asked = settings.get("health", {})  # as a person may have put it right since, where the service had it before
    found["health"] = {key: asked[key] for key in ("url", "audience") if key in asked and not getattr(base.health, key)}
    return {key: value for key, value in found.items() if value != {}}


def _usual(service: ServiceSettings, field: str) -> Any:
    """What a setting is that is not said, where that follows from others."""
    if field == "cpu_throttling" and service.gpu and not service.gpu.container:
        return False
    if (
        field == "concurrency"
        and sum(map(cpus, (service.cpu, *(each.cpu or "1" for each in service.sidecars.values())))) < 1
    ):
        return 1
    return getattr(service, field)


def _entries(settings: Settings, key: str, there: Mapping[str, Any], here: Mapping[str, Any]) -> dict[str, Any]:
    changed = {name: settings[key][name] for name in here if there.get(name) != here[name]}
    moved = settings.get(_OTHER.get(key, ""), {})
    return {**changed, **{name: None for name in there if name not in here and name not in moved}}


def _said(settings: Settings, key: str, usual: Any) -> Any:
    """usual: what it is there, where that is not said."""
    if key in settings:
        return settings[key]
    return list(usual) if isinstance(usual, tuple) else usual


def _place(root: yaml.Node, key: str) -> tuple[int, str, str]:
    """The line, from 0, that comes after what stands under a key of the file; its indentation, and a step further."""
    node = next((value for name, value in _pairs(root) if name.value == key), None)
    pairs = _pairs(node)
    if not pairs or root.start_mark.column or getattr(node, "flow_style", True) or getattr(root, "flow_style", True):
        raise ParameterError(
            f"{key} is written on one line, between braces, where nothing can be added.",
            "write it with a line for each, indented, and start the command again.",
        )
    column = pairs[0][0].start_mark.column
    inner = [name.start_mark.column for _, value in pairs for name, _ in _pairs(value) if not value.flow_style][:1]
    end = _end(pairs[-1][1])
    return end.line + (1 if end.column else 0), " " * column, " " * ((inner[0] - column) if inner else column or 2)


def _pairs(node: yaml.Node | None) -> list[tuple[yaml.Node, Any]]:
    return node.value if isinstance(node, yaml.MappingNode) else []


def _end(node: yaml.Node) -> yaml.Mark:
    """Where the last word of it ends: what follows a block are comments and blank lines."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last)
    return node.end_mark
