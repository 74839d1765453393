"""Looks for what can be shipped in the files of a repository."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from pydantic import TypeAdapter, ValidationError

from tasks.describe.compose import COMPOSE_FILES, read_compose
from tasks.describe.dockerfile import Dockerfile, listening_port, read_dockerfile
from tasks.describe.proposal import Found, Proposal, inside
from tasks.manifest.values import HealthPath

_MIGRATION = re.compile(r"(db-?|pre-?)?(migrat\w*|release)$", re.IGNORECASE)
Read = Callable[[str], str]  # the text of a file, by its path below the root

# Folders of what belongs to others or is not run, and Dockerfiles that are not for production.
PASSED_OVER = {"node_modules", "vendor", "third_party", "test", "tests", "testdata", "e2e", "fixtures", "__pycache__"}
_NOT_SHIPPED = {
    "dev",
    "devel",
    "development",
    "test",
    "tests",
    "testing",
    "local",
    "ci",
    "debug",
    "base",
    "lint",
    "e2e",
}
_NAMELESS = {"docker", "build", "deploy", "deployment", "container", "src", "app", "images", ".docker"}
_BUILDPACKS = {  # what tells Google's buildpacks that they can build a folder, and what it must hold to be started
    "package.json": ("server.js", "index.js", "app.js", "main.js"),
    "requirements.txt": ("main.py", "app.py", "Procfile"),
    "go.mod": ("main.go",),
}


def scan(files: Iterable[str], read: Read) -> Proposal:
    """What the files (paths with "/") hold: as a compose file says it, else by Dockerfiles, else for buildpacks."""
    paths = sorted(path for path in files if not PASSED_OVER & set(PurePosixPath(path).parts[:-1]))
    shown = [path for path in paths if not any(part.startswith(".") for part in PurePosixPath(path).parts[:-1])]
    dotenv = read(".env") if ".env" in shown else ""
    composed = next((read_compose(read(name), name, dotenv) for name in COMPOSE_FILES if name in shown), Proposal(()))
    there = [each for each in composed.services if each.path in paths]
    notes = [
        *composed.notes,
        *(f"{each.name}: {each.path} is not here." for each in composed.services if each not in there),
    ]
    dockerfiles = [path for path in shown if is_dockerfile(path)]
    if there:
        known = {each.path for each in there}
        notes += [f"{path} is here too." for path in dockerfiles if path not in known]
        needed = {other for each in there for other in each.depends_on}
        found = [_as_in_compose(each, read_dockerfile(read(each.path)), each.name in needed) for each in there]
    else:
        chosen, others = _for_production(dockerfiles)
        notes += [f"{path} is here too." for path in others]
        found = [_of_dockerfile(path, read(path), paths) for path in chosen]
    beside = [each for each in _for_buildpacks(shown, read) if not _covered(each, found)]
    if there:  # a compose file names all that is a service
        notes += [f"{each.source}/ could be built by Google's buildpacks." for each in beside]
        beside = []
    return Proposal((*found, *beside), tuple(notes))


def _covered(other: Found, found: Sequence[Found]) -> bool:
    """Whether a folder for buildpacks is in, or around, what another service is built of."""
    return any(
        _is_below(f"{a}/", b) for each in found for a, b in ((other.source, each.source), (each.source, other.source))
    )


def is_dockerfile(path: str) -> bool:
    """Dockerfile, Dockerfile.web, web.Dockerfile or Containerfile."""
    name = PurePosixPath(path).name
    if name.endswith((".dockerignore", ".md", ".j2", ".tmpl", ".template")):
        return False
    return name.startswith(("Dockerfile", "Containerfile")) or name.endswith((".Dockerfile", ".dockerfile"))


def _for_production(paths: Sequence[str]) -> tuple[list[str], list[str]]:
    """Dockerfiles to ship, and the others: of development, or a second one for the same where one is for production."""
    chosen: list[str] = []
    others: list[str] = []
    for path in paths:
        (others if variant(path) in _NOT_SHIPPED else chosen).append(path)
    plain = {PurePosixPath(path).parent for path in chosen if not variant(path)}
    for path in list(chosen):
        if variant(path) in ("prod", "production") and PurePosixPath(path).parent in plain:
            chosen.remove(path)
            others.append(path)
    return (chosen, others) if chosen else (others, [])


def variant(path: str) -> str:
    """What the name of a Dockerfile says besides that it is one: `web` of Dockerfile.web."""
    name = PurePosixPath(path).name.lower()
    for word in ("dockerfile", "containerfile"):
        name = name.replace(word, "")
    return name.strip(".-_")


def _of_dockerfile(path: str, text: str, paths: Sequence[str]) -> Found:
    said = read_dockerfile(text)
    source, sure = _context(path, said, paths)
    decide = () if sure else (f"source: {path} copies what is not in this folder.",)
    if _speaks_of(source, text, said):
        decide = (f"source: {path} speaks of {source}/ itself, so that it seems to be built from the root.",)
        source = "."
    dockerfile = PurePosixPath(path).relative_to(source).as_posix()
    return _completed(Found(_name(path), source, dockerfile, decide=decide), said)


def _speaks_of(folder: str, text: str, said: Dockerfile) -> bool:
    """Whether a Dockerfile that copies all there is says where in that this folder is, as one in a monorepo does."""
    code = re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)
    all_ = {str(PurePosixPath(each)) for each in said.copies} == {"."}
    return all_ and "/" in folder and bool(re.search(rf"(?<![\w.-]){re.escape(folder)}(?![\w-])", code))


def _context(path: str, said: Dockerfile, paths: Sequence[str]) -> tuple[str, bool]:
    """The nearest folder, from the Dockerfile's own to the root, that has all it copies; else the one that has most."""
    known = set(paths)
    ranked = []
    for folder in map(str, PurePosixPath(path).parents):
        if said.copies and not any(_is_below(other, folder) and not is_dockerfile(other) for other in paths):
            continue  # nothing to copy
        lacking = sum(not _has(known, folder, pattern) for pattern in said.copies)
        if not lacking:
            return folder, True
        ranked.append((lacking, folder))
    return (min(ranked, key=lambda each: each[0])[1] if ranked else str(PurePosixPath(path).parent)), False


def _has(paths: set[str], folder: str, pattern: str) -> bool:
    wanted = str(PurePosixPath(pattern.lstrip("/")))
    if "$" in wanted or wanted == ".":
        return True
    whole = inside(folder, wanted)
    if any(sign in wanted for sign in "*?["):
        return any(fnmatch.fnmatchcase(path, whole) for path in paths)
    return whole in paths or any(path.startswith(f"{whole}/") for path in paths)


def _is_below(path: str, folder: str) -> bool:
    return folder == "." or path.startswith(f"{folder}/")


def _name(path: str) -> str:
    """What a Dockerfile's service is called: after its own name or its folder's; nothing for one at the root."""
    if (own := variant(path)) and own not in ("prod", "production", *_NOT_SHIPPED):
        return own
    return next((part for part in reversed(PurePosixPath(path).parts[:-1]) if part.lower() not in _NAMELESS), "")


def _as_in_compose(found: Found, said: Dockerfile, needed: bool) -> Found:
    """A service where something tells of a port or others need it, else what works by itself.

    A port that the Dockerfile's own command listens on counts for more than that of a command in compose.
    """
    if found.works is None:
        return _completed(replace(found, port=said.listens or found.port), said)
    command = " ".join(found.works)
    listens = listening_port(command)
    open_ = said.ports or said.listens or said.asks
    if needed or listens or "PORT" in command or (not found.works and open_):
        own = ["what starts it: it has a command of its own in compose."] if command else []
        doubt = "whether it is a service: it publishes no port there, and Cloud Run only runs what answers on $PORT."
        return _completed(replace(found, port=listens, works=None, decide=(doubt, *own, *found.decide)), said)
    doubt = "whether it works by itself, as the instances of a worker pool do: it publishes no port in compose."
    return replace(_completed(found, said), port=None, health="", decide=(doubt, *found.decide))


def _completed(found: Found, said: Dockerfile) -> Found:
    """With what the Dockerfile says and nothing else has said."""
    decide = list(found.decide)
    if needs := [name for name in said.needs if name not in found.args]:
        decide.append(f"build: args, for which the Dockerfile has no default: {', '.join(needs)}.")
    if found.port is None and said.listens is None and len(set(said.ports)) > 1:
        decide.append(f"port: the Dockerfile exposes {', '.join(map(str, said.ports))}.")
    port, health = found.port or said.listens or said.port, found.health or said.health
    if health and not _is_reached(health):
        decide.append(f"health: its health check asks {health}, which Google keeps from reaching a service.")
        health = ""
    return replace(found, port=port, health=health, decide=tuple(decide))


def _is_reached(path: str) -> bool:
    try:
        TypeAdapter(HealthPath).validate_python(path)
    except ValidationError:
        return False
    return True


def _for_buildpacks(paths: Sequence[str], read: Read) -> Iterator[Found]:
    """Folders without a Dockerfile that say how they are built; not those inside one of them."""
    known, taken = set(paths), set[str]()
    for path in sorted(paths, key=lambda each: (len(PurePosixPath(each).parts), each)):
        folder, name = str(PurePosixPath(path).parent), PurePosixPath(path).name
        starts = _BUILDPACKS.get(name, ())
        if not any(inside(folder, start) in known for start in starts):
            continue
        if not any(_is_below(f"{folder}/", each) for each in taken):
            taken.add(folder)
            decide = [f"whether Google's buildpacks build it: it has no Dockerfile, but {path}."]
            procfile = inside(folder, "Procfile")
            others = _processes(read(procfile)) - {"web"} if procfile in known else set()
            migrations = tuple(sorted(filter(_MIGRATION.match, others)))
            if rest := sorted(others - set(migrations)):
                decide.append(f"what of its Procfile is run besides, as jobs: {', '.join(rest)}.")
            name = "" if folder == "." else PurePosixPath(folder).name
            yield Found(name, folder, None, migrations=migrations, decide=tuple(decide))


def _processes(procfile: str) -> set[str]:
    """The entry points that buildpacks make of it.

    https://cloud.google.com/docs/buildpacks/set-environment-variables, github.com/heroku/procfile
    """
    return set(re.findall(r"^([\w-]+):", procfile, re.MULTILINE))
