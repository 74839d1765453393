"""What was seen of services, each in some regions, said in the words of slipway.yaml. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from tasks.describe.adopt.seen import Kind, Seen
from tasks.describe.proposal import is_secret_value, name_of
from tasks.manifest.manifest import BY_NAME
from tasks.manifest.members import in_short
from tasks.manifest.settings import account_email
from tasks.manifest.values import Account, HealthPath
from tasks.names.naming import SERVICE_LIMIT, TAGGED_NAME_LIMIT
from tasks.rollout.heard import Heard, heard
from tasks.rollout.said import Where

Settings = dict[str, Any]
# How people write environments into names of services and projects.
WORDS = {
    "production": ("production", "prod", "prd", "live"),
    "staging": ("staging", "stage", "stg"),
    "development": ("development", "dev"),
}
DOMAIN, IAP_CLIENT = "https://my-domain.example.com", "my-iap-client-id"  # until somebody says what they are
_MISSING = "not set"


@dataclass(frozen=True, slots=True)
class Target:
    """The environment that the services are in."""

    name: str
    project: str  # '' where nothing tells
    regions: tuple[str, ...]  # empty where nothing tells


@dataclass(frozen=True, slots=True)
class Adopted:
    """One service as slipway.yaml is to say it."""

    key: str  # its name there
    name: str  # Cloud Run's
    settings: Settings
    here: Settings  # what holds for this environment alone
    regions: tuple[str, ...]  # '' where nothing tells
    decide: tuple[str, ...] = ()  # what a person must decide, a sentence each
    notes: tuple[str, ...] = ()  # what else there is to know
    unknown: tuple[str, ...] = ()  # what is to be decided of a service that slipway.yaml does not have yet
    kind: Kind = Kind.SERVICE
    runs: bool = False  # with each release

    def told(self, note: str) -> Adopted:
        """With one thing more to know."""
        return replace(self, notes=(*self.notes, note))


def environment_of(project: str) -> str:
    """What a project seems to be for; production where nothing tells."""
    words = set(re.split(r"[^a-z]+", project))
    return next((name for name, said in WORDS.items() if words & set(said)), "production")


def together(app: str, target: Target, seen: Sequence[Seen], known: Mapping[str, str]) -> tuple[Adopted, ...]:
    """One for each name, in their order. known: what slipway.yaml calls services already, by Cloud Run's names."""
    names = dict.fromkeys(each.name for each in seen)
    keys = keys_for(app, target.name, tuple(names), known)
    found = ([each for each in seen if each.name == name] for name in names)
    return tuple(_adopted(app, keys[each[0].name], each, target) for each in found)


def _bare(environment: str, name: str) -> str:
    """The name of a service without the environment's in it."""
    said = {environment, *WORDS.get(environment, ())}
    return "-".join(part for part in name.split("-") if part not in said)


def keys_for(
    app: str, environment: str, names: Sequence[str], known: Mapping[str, str], first: str = "web"
) -> dict[str, str]:
    """Short and each only once: without the app's name and the environment's."""
    keys: dict[str, str] = {}
    for name in names:
        plain = _bare(environment, name)
        short = plain.removeprefix(f"{app}-") if plain != app else ""
        limit = SERVICE_LIMIT - len(app) - 1
        key = known.get(name) or name_of(short, limit, first)
        number = 2
        while key in keys.values():
            key, number = f"{name_of(short, limit - 3, first)}-{number}", number + 1
        keys[name] = key
    return keys


def _adopted(app: str, key: str, seen: Sequence[Seen], target: Target) -> Adopted:
    first, *others = ((each, heard(each.body, Where(each.project, each.region))) for each in seen)
    one, said = first
    settings, differs = said.settings, []
    for other, there in others:
        settings, more = _by_region(settings, there.settings, one.region, other.region)
        differs += [f"{place}; a release makes {other.region} as {one.region} is." for place in more]
        if there.image != said.image:
            differs.append(f"image: {there.image} in {other.region}, {said.image} in {one.region}.")
    settings, hidden = without_secrets(short_account(settings, one.project))
    built = one.built.settings if one.built else {"image": said.image} if said.image else {}
    named = {"name": one.name} if one.name != f"{app}-{key}" else {}
    of_here = bool(named) and _bare(target.name, one.name) != one.name
    notes = (
        *one.notes,
        *(f"{each.region}: {note}" for each, _ in others for note in each.notes if note not in one.notes),
    )
    return Adopted(
        key,
        one.name,
        {**({} if of_here else named), **built, **_health(one, settings), **_callers(seen), **settings},
        named if of_here else {},
        tuple(each.region for each in seen),
        (
            *(one.built.decide if one.built else ()),
            *one.decide,
            *_decide(one, said, settings),
            *hidden,
            *differs,
            *_here_alone(seen),
            *_only(seen, target),
        ),
        (*notes, *left_over(seen, [said, *(there for _, there in others)])),
        tuple(_unknown(one, settings)),
    )


def _callers(seen: Sequence[Seen]) -> Settings:
    """Who may call it in all its regions."""
    public = {"public": True} if any(each.public for each in seen) else {}
    everywhere = set.intersection(*({in_short(who, each.project) for who in each.invokers} for each in seen))
    return {**public, **({"invokers": sorted(everywhere)} if everywhere else {})}


def _here_alone(seen: Sequence[Seen]) -> Iterator[str]:
    """Who may call it in some of its regions only."""
    common = set.intersection(*(set(each.invokers) for each in seen))
    for each in seen:
        if more := sorted(set(each.invokers) - common):
            yield f"invokers: in {each.region} alone {', '.join(more)} may call it too; that stays."


def _unknown(seen: Seen, settings: Settings) -> Iterator[str]:
    if not seen.built:
        yield "image: with `source: FOLDER` instead of it, Slipway builds the image from this repository."
    if not _path(settings):
        yield "health: {path: /health}, if GET / does not answer 200 or 204 without a sign-in."


def _decide(seen: Seen, said: Heard, settings: Settings) -> Iterator[str]:
    way = _way(seen, settings)
    if way and seen.body.get("uri") not in way.values():
        yield f"health.{next(iter(way))}, which is not known here: without it no release can prove it."
    elif settings.get("ingress") in ("internal", "internal-and-cloud-load-balancing"):
        yield "health.url, by which a release can ask it: not everybody reaches its own URL."
    yield from decide_floating(said)


def decide_floating(said: Heard) -> Iterator[str]:
    if said.floating:
        yield (
            f"secrets: {', '.join(sorted(said.floating))}: instances read the newest version as they start; a release "
            "looks it up and pins it, so that a new version goes live with the next release."
        )


def _only(seen: Sequence[Seen], target: Target) -> Iterator[str]:
    there = [each.region for each in seen if each.region]
    if there and (absent := [region for region in target.regions if region not in there]):
        yield f"whether it is to be in {', '.join(absent)} too: it is only in {', '.join(there)}."


def left_over(seen: Sequence[Seen], said: Sequence[Heard]) -> Iterator[str]:
    """What slipway.yaml has no word for: a release is merged into what is there, so that stays."""
    told: dict[str, None] = {}
    for each, there in zip(seen, said, strict=True):
        where = f" in {each.region}" if len(seen) > 1 else ""
        for path, value in there.left.items():
            told[f"slipway.yaml cannot say {path} ({_short(value)}){where}; releases leave it as it is."] = None
    yield from told


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _health(seen: Seen, settings: Settings) -> Settings:
    """What Cloud Run asks the container itself is a good answer for a release too."""
    return {"health": said} if (said := {**_path(settings), **_way(seen, settings)}) else {}


def _way(seen: Seen, settings: Settings) -> Settings:
    """By which a service is asked that not everybody reaches; what stands in for it is a person's to say.

    One whose name leaves no room for a tag is asked where its users ask it.
    """
    if settings.get("default_url") is False:
        return {"url": DOMAIN}
    if len(seen.name) >= TAGGED_NAME_LIMIT and not settings.get("iap"):
        return {"url": seen.body.get("uri") or DOMAIN}
    return {"audience": IAP_CLIENT} if settings.get("iap") else {}


def _path(settings: Settings) -> Settings:
    for key in ("startup_probe", "readiness_probe", "liveness_probe"):
        probe = settings.get(key, {})
        if "http" in probe and not {"port", "headers"} & probe.keys():
            try:
                TypeAdapter(HealthPath).validate_python(probe["http"])
            except ValidationError:
                continue
            return {} if probe["http"] == "/" else {"path": probe["http"]}
    return {}


def short_account(settings: Settings, project: str) -> Settings:
    """By its first part, which an account of another environment may have too."""
    email = settings.get("service_account", "")
    short = email.partition("@")[0]
    try:
        TypeAdapter(Account).validate_python(short)
    except ValidationError:
        return settings
    same = project and account_email(short, project) == email
    return {**settings, "service_account": short} if same else settings


def without_secrets(settings: Settings) -> tuple[Settings, list[str]]:
    """Without variables whose values seem to be secrets: nobody wants them in a repository."""
    found, hidden = {**settings}, []
    owners = [
        ("env", settings),
        *((f"sidecars.{name}.env", each) for name, each in settings.get("sidecars", {}).items()),
    ]
    for place, owner in owners:
        secret = [name for name, value in owner.get("env", {}).items() if is_secret_value(name, value)]
        if not secret:
            continue
        kept = {name: value for name, value in owner["env"].items() if name not in secret}
        if owner is settings:
            found["env"] = kept
        else:
            name = place.split(".")[1]
            found["sidecars"] = {**found["sidecars"], name: {**owner, "env": kept}}
        hidden.append(
            f"secrets: {', '.join(secret)} of {place}, whose values look like secrets and are not written here; "
            "releases leave them as they are."
        )
    return {key: value for key, value in found.items() if value != {}}, hidden


def _by_region(settings: Settings, there: Settings, region: str, other: str) -> tuple[Settings, list[str]]:
    """With connectors and subnets by region, and what else differs there, in words."""
    vpc, theirs = settings.get("vpc", {}), there.get("vpc", {})
    mixed = {**vpc}
    for key in ("connector", "subnet"):
        ours, new = vpc.get(key), theirs.get(key)
        if ours and new and (isinstance(ours, dict) or ours != new):
            by_region = ours if isinstance(ours, dict) else {region: ours}
            mixed[key] = {**by_region, other: new}
    same = {key: mixed[key] for key in ("connector", "subnet") if isinstance(mixed.get(key), dict)}
    flat = dict(flattened({**settings, "vpc": {**vpc, **same}}))
    new_flat = dict(flattened({**there, "vpc": {**theirs, **{key: same[key] for key in same if key in theirs}}}))
    paths = sorted(path for path in flat.keys() | new_flat.keys() if flat.get(path) != new_flat.get(path))
    differs = [f"{p}: {new_flat.get(p, _MISSING)} in {other}, {flat.get(p, _MISSING)} in {region}" for p in paths]
    return ({**settings, "vpc": mixed} if mixed else settings), differs


def flattened(settings: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Values by their paths: `env.LEVEL`."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def without(adopted: Adopted, key: str, why: str) -> Adopted | None:
    """The same without what stands at this key of it, with a note; None where there is no such key."""
    if key == "image" and "image" in adopted.settings:
        said = f"source: the folder to build from; its image, {adopted.settings['image']}, {why}."
        settings = {name if name != "image" else "source": "." if name == "image" else value
                    for name, value in adopted.settings.items()}  # fmt: skip
        return replace(adopted, settings=settings, decide=(*adopted.decide, said), unknown=adopted.unknown[1:])
    settings, found = _without_key(adopted.settings, key)
    if not found:
        return None
    note = f"{found} is not written here ({why}); releases leave it as it is."
    return replace(adopted, settings=settings, notes=(*adopted.notes, note))


def _without_key(settings: Settings, key: str) -> tuple[Settings, str]:
    """The entry of a map that goes by names, else the whole setting; and what it is called."""
    name = _first(settings, key)
    inner, rest = settings.get(name), key[len(name) :].lstrip(".")
    entry = _first(inner, rest) if name in _NAMED and isinstance(inner, dict) else ""
    if not entry:
        return _dropped(settings, name), name
    assert isinstance(inner, dict)
    if name == "sidecars":
        less, found = _without_key(inner[entry], rest[len(entry) :].lstrip("."))
        if found not in ("", "image"):
            return {**settings, name: {**inner, entry: less}}, f"{name}.{entry}.{found}"
    return {**settings, name: _dropped(inner, entry)}, f"{name}.{entry}"


def _first(settings: Settings, key: str) -> str:
    """The key that this path begins with: keys may have dots themselves."""
    return max((each for each in settings if re.match(rf"{re.escape(each)}([.\[]|$)", key)), key=len, default="")


_NAMED = {*BY_NAME, "env", "secrets"}


def _dropped(settings: Settings, name: str) -> Settings:
    return {key: value for key, value in settings.items() if key != name}
