"""The text of what was adopted: YAML with comments. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from tasks.describe.adopt.seen import Kind
from tasks.describe.adopt.together import Adopted, Settings, Target

PROJECT, REGION = "my-project", "europe-west1"
WIDTH = 100
_PLAIN = re.compile(r"(?:[A-Za-z_/][A-Za-z0-9_./@=+-]*|[0-9]+(?:s|m|h|d|Mi|Gi|M|G))(?::[A-Za-z0-9_./@-]+)*")
_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}  # not for Slipway, but for other readers of YAML
_ALWAYS_BLOCK = {"env", "secrets", "sidecars", "services"}


def manifest_text(app: str, target: Target, services: Sequence[Adopted], notes: Sequence[str]) -> str:
    """A whole slipway.yaml."""
    lines = [
        "# Written by `slipway adopt`. Go through the lines that say DECIDE, then: slipway check",
        *block("app", app),
        *(["services:"] if any(each.kind is Kind.SERVICE for each in services) else []),
        *(line for each in services if each.kind is Kind.SERVICE for line in service_lines(each)),
        *(comment(note, "  ") for note in notes),
        *beside_lines(services),
        "environments:",
        *environment_lines(target, differs=list(own_lines([(each, each.here) for each in services]))),
        *_hooks([each for each in services if each.runs]),
    ]
    return "".join(f"{line}\n" for line in lines)


def _hooks(jobs: Sequence[Adopted]) -> Iterator[str]:
    if jobs:
        yield "    before:  # traffic moves: as the files run them"
    yield from (f"      - {flow({'name': each.key, 'job': {'name': each.key}})}" for each in jobs)


def beside_lines(adopted: Sequence[Adopted]) -> Iterator[str]:
    """What is deployed with the services."""
    for kind in (Kind.JOB, Kind.POOL):
        own = [each for each in adopted if each.kind is kind]
        if own:
            yield f"{kind}:"
        yield from (line for each in own for line in service_lines(each))


def service_lines(adopted: Adopted, indent: str = "  ") -> Iterator[str]:
    """Its key, what it says, and what there is to decide and to know."""
    yield f"{indent}{scalar(adopted.key)}:" if adopted.settings else f"{indent}{scalar(adopted.key)}: {{}}"
    yield from (comment(f"DECIDE {sentence}", indent + "  ") for sentence in adopted.unknown)
    yield from comments(adopted, indent + "  ")
    for key, value in adopted.settings.items():
        yield from block(key, value, indent + "  ")


def comments(adopted: Adopted, indent: str) -> Iterator[str]:
    yield from (comment(f"DECIDE {sentence}", indent) for sentence in adopted.decide)
    yield from (comment(note, indent) for note in adopted.notes)


def environment_lines(
    target: Target, indent: str = "  ", step: str = "  ", differs: Sequence[str] = ()
) -> Iterator[str]:
    """differs: the lines of what single services have of their own there."""
    takes = "takes only commits with a release tag, like v1.0.0" if target.name in ("production", "prod") else ""
    yield f"{indent}{scalar(target.name)}:{takes and f'  # {takes}'}"
    unsure = "" if target.project else "  # DECIDE: the id of your Google Cloud project"
    yield f"{indent}{step}project: {scalar(target.project or PROJECT)}{unsure}"
    unsure = "" if target.regions else "  # DECIDE: where it runs: https://cloud.google.com/run/docs/locations"
    yield f"{indent}{step}regions: {flow(list(target.regions) or [REGION])}{unsure}"
    yield from differs


def own_lines(services: Sequence[tuple[Adopted, Settings]], indent: str = "    ", step: str = "  ") -> Iterator[str]:
    """What single services have of their own in an environment; indent: of the environment's keys."""
    said = [(adopted, settings) for adopted, settings in services if settings]
    if said:
        yield f"{indent}services:"
    for adopted, settings in said:
        yield f"{indent}{step}{scalar(adopted.key)}:"
        for key, value in settings.items():
            yield from block(key, value, indent + step * 2, step)


def block(key: str, value: Any, indent: str = "", step: str = "  ") -> Iterator[str]:
    """On one line where it fits, and is no map that people add to."""
    short = f"{indent}{scalar(key)}: {flow(value)}"
    fits = key not in _ALWAYS_BLOCK and len(short) <= WIDTH
    if fits or not isinstance(value, Mapping | list) or not value:
        yield short
    elif isinstance(value, Mapping):
        yield f"{indent}{scalar(key)}:"
        for inner, said in value.items():
            yield from block(inner, said, indent + step, step)
    else:
        yield f"{indent}{scalar(key)}:"
        yield from (f"{indent}{step}- {flow(each)}" for each in value)


def flow(value: Any) -> str:
    """On one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(key)}: {flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(flow, value))}]"
    return scalar(value)


def scalar(value: Any) -> str:
    """In quotes where it could be taken for something else, in a list too."""
    if not isinstance(value, str):
        return str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)
    if value == "." or (_PLAIN.fullmatch(value) and value.lower() not in _WORDS):
        return value
    return yaml.safe_dump(value, default_style='"', allow_unicode=True, width=10**9).strip()


def comment(text: str, indent: str) -> str:
    return f"{indent}# " + "".join(sign if sign.isprintable() else "?" for sign in " ".join(text.split()))
