"""What can be told of an app before a run is started: of slipway.yaml and of the folder around it. Asks no network."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tasks.analysis.reach import undeclared
from tasks.builds.ignore import nothing
from tasks.failures.errors import ManifestError, SlipwayError
from tasks.failures.redact import redact
from tasks.failures.spelling import hint
from tasks.manifest.loading import Fault, Judged, judge, read_text
from tasks.manifest.manifest import MANIFEST_NAME, Manifest
from tasks.manifest.openapi import read_openapi, services_in
from tasks.manifest.provision import GatewaySettings, Provision
from tasks.manifest.variables import env_files, with_env_files
from tasks.model import Problem
from tasks.preflight.sources import LFS, OTHERS, Built, judge_source, pointers
from tasks.source.described import found_manifest
from tasks.source.git import attempt
from tasks.source.submodules import without_address
from tasks.source.tree import Tree, read_tree


async def check_folder(
    folder: Path,
    environment: str | None = None,
    services: Sequence[str] | None = None,
    text: str | None = None,
    around: Callable[[Provision], bool] = lambda _: True,
) -> list[Fault]:
    """Every fault of the folder's slipway.yaml and, when it has none, of the sources and files that it names.

    With a `text` of what that slipway.yaml would have. The sources are those of `services`, by default of all. They are
    looked at as a run would see them: what git ignores and does not track is not there. SourceError when git cannot be
    run.

    around: whether what is made around an environment matters, whose gateway has a file of its own.
    """
    try:
        tree = await read_tree(folder)
        judged = judge(await _written(folder, tree) if text is None else text)
    except ManifestError as error:
        return [_whole(error)]
    faults = judge_manifest(judged, environment, services)
    if judged.manifest is None or faults:
        return faults
    manifest = judged.manifest
    if wrong := await asyncio.to_thread(_env_files, judged, manifest, folder, tree):
        return wrong
    chosen = _built(manifest, services)
    found = [_at(judged, problem) for service in chosen for problem in await _problems(folder, service, tree)]
    wanted = {
        name: each.provision.gateway
        for name, each in manifest.environments.items()
        if environment in (None, name) and each.provision and each.provision.gateway and around(each.provision)
    }
    return sorted([*found, *await asyncio.to_thread(_openapi, judged, wanted, manifest, folder, tree)])


def _built(manifest: Manifest, services: Sequence[str] | None) -> list[Built]:
    """What has a source, of these services or of all."""
    ordered = (manifest.services[name] for wave in manifest.order(services) for name in wave)
    beside = () if services else (part for part in manifest.beside if part.source is not None)
    return [*(service for service in ordered if not service.image), *beside]


def _openapi(
    judged: Judged, gateways: Mapping[str, GatewaySettings], manifest: Manifest, folder: Path, tree: Tree | None
) -> list[Fault]:
    """What is wrong with the files of gateways, by environment."""
    unseen, found = tree.lacks(folder) if tree else nothing, []
    for name, gateway in gateways.items():
        file, place = gateway.openapi, judged.place(("environments", name, "provision", "gateway", "openapi"))
        try:
            services_in(read_openapi(folder, file), manifest.services)
        except ManifestError as error:
            found.append(Fault(*place, redact(error.problem), error.remedy))
        else:
            if unseen(file):
                found.append(Fault(*place, f"{file} is not seen by a run: git ignores it"))
    return found


def _env_files(judged: Judged, manifest: Manifest, folder: Path, tree: Tree | None) -> list[Fault]:
    unseen = tree.lacks(folder) if tree else nothing
    faults = [
        Fault(
            *judged.place(tuple(place.split("."))), f"{file} is not seen by a run: it is not there, or git ignores it"
        )
        for place, file in env_files(manifest).items()
        if unseen(file)
    ]
    try:
        with_env_files(manifest, folder)
    except ManifestError as error:
        return faults or [Fault(0, "", redact(error.problem), error.remedy)]
    return faults


async def _written(folder: Path, tree: Tree | None) -> str:
    text = read_text(await found_manifest(folder))
    if tree and tree.lacks(folder)(MANIFEST_NAME):
        raise ManifestError(f"{MANIFEST_NAME} is not seen by a run: git ignores it.", "take it out of .gitignore.")
    return text


def check_text(text: str, name: str, environment: str | None = None) -> list[Fault]:
    """Every fault of a manifest by itself, whatever it is called and wherever it comes from."""
    try:
        return judge_manifest(judge(text, name), environment)
    except ManifestError as error:
        return [_whole(error)]


def judge_manifest(judged: Judged, environment: str | None, services: Sequence[str] | None = None) -> list[Fault]:
    """Its faults; that it lacks the environment or a service is one too."""
    faults = [Fault(fault.line, fault.key, redact(fault.problem), fault.remedy) for fault in judged.faults]
    if judged.manifest is None:
        return faults
    for group, wanted in (("environments", environment and [environment]), ("services", services)):
        known = getattr(judged.manifest, group)
        for name in wanted or ():
            if name not in known:
                text = f"there is no {group.removesuffix('s')} '{name}'{hint(name, known)}"
                faults.append(Fault(*judged.place((group,)), text, f"choose one of: {', '.join(known)}; or add it."))
    return faults or _unreachable(judged, judged.manifest, environment)


def _unreachable(judged: Judged, manifest: Manifest, environment: str | None) -> list[Fault]:
    """The services that nothing could ask whether they are healthy."""
    chosen = [each for each in manifest.environments.values() if environment in (None, each.name)]
    found = (undeclared(manifest, each, name) for each in chosen for name in manifest.services)
    return sorted({_at(judged, problem) for problem in found if problem})


async def _problems(folder: Path, service: Built, tree: Tree | None) -> list[Problem]:
    problems = await asyncio.to_thread(_judged, folder, service, tree)
    if problems is not None:
        return problems
    absent = tree.lacks(folder / str(service.source)) if tree else nothing
    kinds = OTHERS if await _has_lfs(folder) else (LFS, *OTHERS)
    return await pointers(folder, service, absent, kinds)


def _judged(folder: Path, service: Built, tree: Tree | None) -> list[Problem] | None:
    """What keeps a source from being packed; None when nothing does, so that its files can be looked at."""
    if tree is None:
        return list(judge_source(folder, service, {})) or None
    source = folder / str(service.source)
    missing: dict[Path, SlipwayError] = {
        tree.root / each.path: without_address(each)
        for each in tree.submodules
        if not each.url and not (tree.root / each.path / ".git").exists()
    }
    fetched = tree.within_submodule(source) or tree.within_submodule(source / service.dockerfile)
    if fetched and not missing:
        return []
    outside = not source.resolve().is_relative_to(tree.folder)
    return list(judge_source(folder, service, missing, nothing if outside else tree.lacks(source))) or None


async def _has_lfs(folder: Path) -> bool:
    """Whether git turns pointers into files by itself when a run takes its clone."""
    return not (await attempt(folder, "config", "--get-regexp", r"^filter\.lfs\.(smudge|process)$")).code


def _at(judged: Judged, problem: Problem) -> Fault:
    line, key = judged.place(problem.key)
    return Fault(line, key, redact(problem.problem), problem.fix)


def _whole(error: ManifestError) -> Fault:
    """What keeps the file from being read; it begins with `name:line:` where there is a line."""
    placed = re.fullmatch(r"[^:\n]+:(\d+):(?:\d+:)? (.+)", error.problem, re.DOTALL)
    line, problem = (int(placed[1]), placed[2]) if placed else (0, error.problem)
    return Fault(line, "", problem, error.remedy)
