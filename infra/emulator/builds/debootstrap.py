"""Base images made from a Linux distribution's own packages with debootstrap, for machines without a registry."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.emulator.artifacts.manifests import compose
from infra.emulator.builds.bases import PATH, canonical
from infra.emulator.builds.mirror import Mirror
from infra.emulator.builds.rootfs import Layer, store_layer

EPOCH = "1970-01-01T00:00:00Z"
COMPRESSION = 3  # the layers never leave this machine
TAIL_LINES = 12
CERTIFICATES = Path("etc/ssl/certs/ca-certificates.crt")
LEFT_OUT = re.compile(
    r"(dev|proc|sys|run|tmp|var/cache/apt|var/lib/apt/lists|var/log|usr/share/(man|info|locale|doc))/.*(?<!/copyright)"
)


class MirrorError(Exception):
    """`str()` says what is wrong and what to do."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What an image family needs on top of a minimal system."""

    packages: tuple[str, ...]
    links: tuple[tuple[str, str], ...]  # (link, target), where the official images have their programs
    command: str


RECIPES = {
    "python": Recipe(
        ("python3", "python3-pip", "python3-venv"),
        (("usr/local/bin/python", "/usr/bin/python3"), ("usr/local/bin/pip", "/usr/bin/pip3")),
        "python3",
    ),
    "node": Recipe(
        ("nodejs", "npm"),
        tuple((f"usr/local/bin/{name}", f"/usr/bin/{name}") for name in ("node", "npm", "npx")),
        "node",
    ),
    "debian": Recipe((), (), "bash"),
}


@dataclass(frozen=True, slots=True)
class Distribution:
    """Where packages come from."""

    suite: str  # bookworm
    address: str  # of the package archive


def own_distribution() -> Distribution:
    """This machine's own, from its package sources. Raises MirrorError."""
    release = Path("/etc/os-release")
    text = release.read_text() if release.is_file() else ""
    suite = re.search(r"^VERSION_CODENAME=(\w+)", text, re.M)
    for file in [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]:
        for address, suites in _sources(file) if suite else ():
            if suite and suite[1] in suites:
                return Distribution(suite[1], address)
    raise MirrorError(
        "This machine's package sources name no Debian archive. Give one: --archive ADDRESS --suite NAME, for example "
        "your organisation's mirror of Debian and bookworm."
    )


def _sources(file: Path) -> Iterator[tuple[str, list[str]]]:
    """(address, suites) of every source in a file of either format that apt has."""
    if not file.is_file():
        return
    text = file.read_text(errors="replace")
    for address, suite in re.findall(r"^deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s+.*\bmain\b", text, re.M):
        yield address, [suite]
    for stanza in re.split(r"\n\s*\n", text):
        uris, suites = re.search(r"^URIs:\s*(\S+)", stanza, re.M), re.search(r"^Suites:\s*(.+)", stanza, re.M)
        if uris and suites:
            yield uris[1], suites[1].split()


def family(reference: str) -> str:
    """python, node or debian. Raises MirrorError for an image that cannot be made from packages."""
    name = re.split(r"[:@]", canonical(reference).removeprefix("docker.io/library/"))[0]
    if name not in RECIPES:
        known = ", ".join(f"{known}:*" for known in RECIPES)
        raise MirrorError(f"{reference} cannot be made from packages. The mirror can hold {known}.")
    return name


def fill(mirror: Mirror, references: list[str], source: Distribution, say: Callable[[str], None]) -> None:
    """Puts the images into the mirror, and makes what it does not have. Raises MirrorError before anything is made, or
    when it fails."""
    families = {reference: family(reference) for reference in references}
    made = {name: mirror.made_by(_origin(name, source)) for name in sorted(set(families.values()))}
    if not all(made.values()):
        _check_tools()
    for name, known in made.items():
        manifest = known or _make(mirror, name, source, say)
        for reference in (reference for reference in references if families[reference] == name):
            mirror.add(reference, manifest, _origin(name, source))
            say(f"{reference} is in the mirror: {_origin(name, source)}")


def _origin(name: str, source: Distribution) -> str:
    """What an image of the family is made of: with the same, it need not be made again."""
    return " and ".join((source.suite, *RECIPES[name].packages))


def _check_tools() -> None:
    if os.geteuid() != 0:
        raise MirrorError("debootstrap needs root. Run the command again with sudo.")
    if shutil.which("debootstrap") is None:
        raise MirrorError("debootstrap is not installed. On Debian and Ubuntu: apt-get install debootstrap")


def _make(mirror: Mirror, name: str, source: Distribution, say: Callable[[str], None]) -> bytes:
    recipe = RECIPES[name]
    blobs = mirror.blobs
    with tempfile.TemporaryDirectory(dir=mirror.folder) as folder:
        root = Path(folder, "root")
        say(f"Fetching {source.suite} from {source.address}; this takes about a minute")
        _debootstrap(source, root)
        _install(recipe.packages, root)
        _finish(recipe, root)
        say(f"Packing {name}")
        layer = store_layer(lambda archive: _pack(root, archive), blobs, COMPRESSION)
    return compose(blobs, _config(recipe, layer), [layer.digest])


def _debootstrap(source: Distribution, root: Path) -> None:
    command = ["debootstrap", "--variant=minbase", "--include=ca-certificates", source.suite, str(root), source.address]
    _run(
        command,
        f"Is {source.address} within reach, and does it have {source.suite}? Name another with --archive and --suite.",
    )
    own = Path("/") / CERTIFICATES
    if own.is_file():  # authorities that this machine trusts beyond the public ones
        shutil.copyfile(own, root / CERTIFICATES)


def _install(packages: Sequence[str], root: Path) -> None:
    """By the system's own apt: debootstrap knows of no package that others provide, and npm needs some of those."""
    if not packages:
        return
    apt = ["chroot", str(root), "apt-get", "--quiet"]
    remedy = f"Look at what apt-get says. The packages are {', '.join(packages)}."
    _run([*apt, "update"], remedy)
    _run([*apt, "install", "--yes", "--no-install-recommends", *packages], remedy)


def _run(command: list[str], remedy: str) -> None:
    alone = ["unshare", "--mount"] if shutil.which("unshare") else []  # so that nothing stays mounted
    done = subprocess.run(
        [*alone, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    if done.returncode:
        tail = "\n".join(done.stdout.splitlines()[-TAIL_LINES:])
        raise MirrorError(f"{command[0]} failed:\n{tail}\n{remedy}")


def _finish(recipe: Recipe, root: Path) -> None:
    """What distinguishes a base image from a freshly installed system."""
    for link, target in recipe.links:
        (root / link).parent.mkdir(parents=True, exist_ok=True)
        (root / link).symlink_to(target)
    for marker in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):  # pip may install into an image's system
        marker.unlink()


def _pack(root: Path, archive: tarfile.TarFile) -> None:
    for child in sorted(root.iterdir()):
        archive.add(child, child.name, filter=_member)


def _member(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Without times and names of users, so that the same packages give nearly the same layer."""
    if LEFT_OUT.fullmatch(member.name) and not (member.isdir() and member.name.startswith("usr/share/doc")):
        return None
    if member.ischr() or member.isblk() or member.isfifo():
        return None
    member.mtime, member.uname, member.gname = 0, "", ""
    return member


def _config(recipe: Recipe, layer: Layer) -> dict[str, Any]:
    return {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Env": [f"PATH={PATH}", "LANG=C.UTF-8"], "Cmd": [recipe.command]},
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id]},
        "history": [{"created": EPOCH, "created_by": "debootstrap"}],  # buildah wants an entry per layer
    }
