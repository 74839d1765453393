"""The packages in an image's layers, as scanners find them: by what package managers leave behind.

dpkg's status (and distroless' status.d), apk's database, Python's dist-info, and package.json of installed modules.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"
_DPKG = re.compile(r"var/lib/dpkg/(status|status\.d/(?!.*\.md5sums$)[^/]+)")
_APK = re.compile(r"lib/apk/db/installed")
_PYTHON = re.compile(r".*\.dist-info/METADATA")
_NODE = re.compile(r"(.*/)?node_modules/(@[^/]+/)?[^/]+/package\.json")


@dataclass(frozen=True, slots=True, order=True)
class Package:
    ecosystem: str  # Debian, Alpine, PyPI, npm: as advisories in OSV form say it
    name: str
    version: str


def packages(layers: Sequence[Path]) -> list[Package]:
    """Lowest layer first. Those of a file that a later layer replaces or takes away are not in the image."""
    files: dict[str, list[Package]] = {}
    for layer in layers:
        with tarfile.open(layer, "r:*") as archive:
            for member in archive:
                path = str(PurePosixPath("/", member.name)).lstrip("/")
                folder, _, name = path.rpartition("/")
                if name == OPAQUE:
                    files = {each: found for each, found in files.items() if not _below(each, folder)}
                elif name.startswith(WHITEOUT):
                    gone = f"{folder}/{name.removeprefix(WHITEOUT)}".lstrip("/")
                    files = {each: found for each, found in files.items() if not _below(each, gone)}
                elif member.isfile() and (read := _reader(path)):
                    stream = archive.extractfile(member)
                    files[path] = list(read(stream.read().decode(errors="replace"))) if stream else []
    return sorted({package for found in files.values() for package in found})


def _below(name: str, gone: str) -> bool:
    return name == gone or name.startswith(gone.rstrip("/") + "/")


def _reader(path: str) -> Callable[[str], Iterator[Package]] | None:
    readers = ((_DPKG, _dpkg), (_APK, _apk), (_PYTHON, _python), (_NODE, _node))
    return next((read for pattern, read in readers if pattern.fullmatch(path)), None)


def _dpkg(text: str) -> Iterator[Package]:
    """By the name of the source package, as Google's extractor has it."""
    for paragraph in text.split("\n\n"):
        fields: dict[str, str] = dict(re.findall(r"^([\w-]+): (.*)$", paragraph, re.MULTILINE))
        if fields.get("Package") and "deinstall" not in fields.get("Status", ""):
            yield Package("Debian", fields.get("Source", fields["Package"]).split(" ")[0], fields.get("Version", ""))


def _apk(text: str) -> Iterator[Package]:
    for paragraph in text.split("\n\n"):
        fields: dict[str, str] = dict(re.findall(r"^([A-Za-z]):(.*)$", paragraph, re.MULTILINE))
        if "P" in fields:
            yield Package("Alpine", fields.get("o", fields["P"]), fields.get("V", ""))


def _python(text: str) -> Iterator[Package]:
    fields: dict[str, str] = dict(re.findall(r"^(Name|Version): (.*)$", text.split("\n\n")[0], re.MULTILINE))
    if "Name" in fields:
        yield Package("PyPI", re.sub(r"[-_.]+", "-", fields["Name"]).lower(), fields.get("Version", ""))


def _node(text: str) -> Iterator[Package]:
    try:
        said = json.loads(text)
    except ValueError:
        return
    if isinstance(said, dict) and said.get("name"):
        yield Package("npm", str(said["name"]), str(said.get("version", "")))
