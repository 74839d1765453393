"""Base images of this machine's own files, for Dockerfiles that run commands where no registry can be reached."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pip

from infra.emulator.artifacts.manifests import compose
from infra.emulator.builds.bases import PATH
from infra.emulator.builds.debootstrap import EPOCH
from infra.emulator.builds.mirror import Mirror
from infra.emulator.builds.rootfs import store_layer

TOOLS = ("sh", "cat", "env", "ls", "mkdir", "test")
PERL = Path("/usr/lib/x86_64-linux-gnu/perl-base")  # part of each Debian
FAST = 1  # the compression of layers that nobody keeps
LEFT_OUT = re.compile(r".*/(__pycache__|site-packages|dist-packages|test|tests|idlelib|tkinter|lib2to3|config-.*)")
MARKED = "EXTERNALLY-MANAGED"  # by it a distribution keeps pip away from its own Python


@dataclass
class Files:
    """What goes into a layer, by its place in the image: files and folders of this machine, links, and scripts."""

    places: dict[str, Path] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    scripts: dict[str, str] = field(default_factory=dict)

    def folder(self, path: Path, place: str = "") -> None:
        self.places[(place or str(path)).lstrip("/")] = path

    def program(self, path: Path) -> None:
        """With the libraries that it is linked to."""
        for each in (path, *libraries(path)):
            folder = each.parent.resolve()  # /lib is a link on most systems
            self.places[f"{folder}/{each.name}".lstrip("/")] = each

    def fill(self, archive: tarfile.TarFile) -> None:
        archive.dereference = True
        for place, path in sorted(self.places.items()):
            archive.add(path, place, filter=_kept)
        for place, target in self.links.items():
            member = tarfile.TarInfo(place)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
        for place, text in self.scripts.items():
            member = tarfile.TarInfo(place)
            member.mode, member.size = 0o755, len(text)
            archive.addfile(member, io.BytesIO(text.encode()))


def _kept(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if LEFT_OUT.fullmatch(member.name) or member.name.endswith(MARKED) else member


def libraries(*programs: Path) -> list[Path]:
    said = subprocess.run(["ldd", *map(str, programs)], capture_output=True, text=True, check=False).stdout
    return sorted({Path(path) for path in re.findall(r"(/\S+\.so\S*) \(", said)})


def system() -> Files:
    """A shell, a few tools, and perl."""
    files = Files()
    for name in ("bin", "lib", "lib64"):
        if Path("/", name).is_symlink():
            files.links[name] = str(Path("/", name).readlink())
    for tool in TOOLS:
        files.program(Path(shutil.which(tool) or "/bin/sh"))
    files.program(Path("/usr/bin/perl"))
    files.folder(PERL)
    return files


def python() -> Files:
    """The Python that runs the tests, with pip."""
    files = Files()
    interpreter, library = Path(sys.executable).resolve(), Path(sysconfig.get_path("stdlib"))
    files.program(interpreter)
    files.folder(library)
    for extension in libraries(*library.glob("lib-dynload/*.so")):
        files.program(extension)
    files.folder(Path(pip.__file__).parent, f"{library}/pip")
    files.links["usr/local/bin/python"] = str(interpreter)
    files.scripts["usr/local/bin/pip"] = '#!/bin/sh\nexec python -m pip "$@"\n'
    return files


def node() -> Files:
    """This machine's node, with npm and what lies beside that: a distribution's npm finds its own packages there."""
    files = Files()
    program, npm = (Path(shutil.which(name) or "").resolve() for name in ("node", "npm"))
    files.program(program)
    files.folder(next(path for path in npm.parents if path.name == "npm").parent)
    files.links |= {"usr/local/bin/node": str(program), "usr/local/bin/npm": str(npm)}
    return files


def missing() -> Iterator[str]:
    """What this machine lacks to build images with and to run them."""
    if os.geteuid() != 0:
        yield "root"
    yield from (tool for tool in ("buildah", "podman", "node", "npm") if shutil.which(tool) is None)
    if not PERL.is_dir():
        yield str(PERL)


def put(mirror: Mirror, images: Mapping[str, Sequence[Files]]) -> None:
    """Makes the images, each of several layers, and puts them into the mirror by these names."""
    made = {id(files): files for layers in images.values() for files in layers}
    stored = {key: store_layer(files.fill, mirror.blobs, FAST) for key, files in made.items()}
    for name, files in images.items():
        layers = [stored[id(each)] for each in files]
        config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": [f"PATH={PATH}", "LANG=C.UTF-8"], "Cmd": ["sh"]},
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
            "history": [{"created": EPOCH, "created_by": "this machine"} for _ in layers],
        }
        mirror.add(name, compose(mirror.blobs, config, [layer.digest for layer in layers]))
