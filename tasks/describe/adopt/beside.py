"""Jobs and worker pools that are there, said in the words of slipway.yaml. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tasks.describe.adopt.seen import Kind, Seen
from tasks.describe.adopt.together import (
    Adopted,
    Target,
    decide_floating,
    keys_for,
    left_over,
    short_account,
    without_secrets,
)
from tasks.rollout.heard import Heard
from tasks.rollout.heard_beside import heard_job, heard_pool
from tasks.rollout.said import Where

FIRST = {Kind.JOB: "job", Kind.POOL: "worker"}  # what one is called of whose name nothing is left


def beside(app: str, target: Target, seen: Sequence[Seen], services: Sequence[Adopted]) -> tuple[Adopted, ...]:
    """One for each, jobs first; those that run a service's image say whose."""
    keys = {each.name: each.key for each in services}
    images = {str(each.settings["image"]): each.key for each in services if "image" in each.settings}
    images |= {
        each.built.image: keys[each.name]
        for each in seen
        if each.kind is Kind.SERVICE and each.built and each.built.image
    }
    return tuple(
        adopted
        for kind in (Kind.JOB, Kind.POOL)
        for adopted in _of_kind(app, target, [each for each in seen if each.kind is kind], kind, images)
    )


def _of_kind(app: str, target: Target, seen: Sequence[Seen], kind: Kind, images: Mapping[str, str]) -> list[Adopted]:
    keys = keys_for(app, target.name, tuple(dict.fromkeys(each.name for each in seen)), {}, FIRST[kind])
    found: dict[str, Adopted] = {}
    for each in seen:
        key = keys[each.name]
        if key in found:
            note = f"It is in {each.region} too, and stays there as it is: slipway.yaml has it in one region."
            found[key] = found[key].told(note)
        else:
            found[key] = _adopted(app, key, each, target, images)
    return list(found.values())


def _adopted(app: str, key: str, seen: Seen, target: Target, images: Mapping[str, str]) -> Adopted:
    where = Where(seen.project, seen.region)
    said: Heard = (heard_job if seen.kind is Kind.JOB else heard_pool)(seen.body, where)
    settings, hidden = without_secrets(short_account(said.settings, seen.project))
    built = seen.built.settings if seen.built else {"image": said.image}
    theirs = images.get(seen.built.image if seen.built else said.image)
    image = {"service": theirs} if theirs else built
    unsure = seen.built.decide if seen.built and not theirs else ()
    named = {"name": seen.name} if seen.name != f"{app}-{key}" else {}
    region = {"region": seen.region} if seen.region and seen.region != next(iter(target.regions), "") else {}
    return Adopted(
        key,
        seen.name,
        {**named, **image, **settings, **region},
        {},
        (seen.region,),
        (*unsure, *seen.decide, *decide_floating(said), *hidden),
        (*seen.notes, *left_over([seen], [said])),
        ("image: with `source: FOLDER` instead of it, Slipway builds the image from this repository.",)
        if "image" in image
        else (),
        seen.kind,
        seen.runs,
    )
