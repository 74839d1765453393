"""Layers laid over each other in a folder: a container's root file system.

https://github.com/opencontainers/image-spec/blob/v1.1.0/layer.md
"""

from __future__ import annotations

import shutil
import stat
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from infra.emulator.kernel.errors import invalid

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"


def unpack(layers: Sequence[Path], folder: Path) -> None:
    """Extracts the layers, lowest first, as the current user. Device nodes are left out.

    Raises RpcError (INVALID_ARGUMENT) for a layer that is no tar archive or tries to leave `folder`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    root = folder.resolve()
    for layer in layers:
        try:
            with tarfile.open(layer, "r:*") as archive:
                _apply(archive, root)
        except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
            raise invalid(f"Layer {layer.name} is not a usable archive: {error}") from error


def _apply(archive: tarfile.TarFile, root: Path) -> None:
    fresh: set[Path] = set()  # what this very layer brought: its own whiteouts spare it
    folder_modes: dict[Path, int] = {}
    for member in archive:
        target = _inside(root, member.name)
        if target == root:
            continue
        if target.name.startswith(WHITEOUT):
            _white_out(target, fresh)
            continue
        _extract(archive, member, target, root)
        fresh.update((target, *target.parents))
        if member.isdir():
            folder_modes[target] = member.mode & 0o7777
    for path, mode in folder_modes.items():  # last, since a folder may forbid what is to be put into it
        if path.is_dir() and not path.is_symlink():
            path.chmod(mode | stat.S_IRWXU)


def _inside(root: Path, name: str) -> Path:
    """The place of a member in `root`; its parents may be links, but none that lead out."""
    parts = [part for part in PurePosixPath(name).parts if part not in ("/", ".")]
    if ".." in parts:
        raise invalid(f"The layer's entry '{name}' leads out of the image.")
    if not parts:
        return root
    parent = _follow(root, root.joinpath(*parts[:-1]))
    return parent / parts[-1]


def _follow(root: Path, path: Path) -> Path:
    """Resolves links as inside a container: absolute ones start at `root`, and none gets above it."""
    resolved = root
    waiting = list(reversed(path.relative_to(root).parts))
    for _ in range(1000):
        if not waiting:
            return resolved
        part = waiting.pop()
        if part == "..":
            resolved = resolved.parent if resolved != root else root
            continue
        step = resolved / part
        if not step.is_symlink():
            resolved = step
            continue
        link = PurePosixPath(step.readlink())
        if link.is_absolute():
            resolved = root
        waiting.extend(reversed([p for p in link.parts if p not in ("/", ".")]))
    raise invalid(f"Too many levels of symbolic links in '{path.relative_to(root)}'.")


def _white_out(marker: Path, fresh: set[Path]) -> None:
    if marker.name == OPAQUE:
        doomed = list(marker.parent.iterdir()) if marker.parent.is_dir() else []
    else:
        doomed = [marker.with_name(marker.name.removeprefix(WHITEOUT))]
    for path in doomed:
        if path not in fresh:
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path, root: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if member.isdir():
        if target.is_symlink() or not target.is_dir():
            _remove(target)
            target.mkdir()
        return
    _remove(target)
    if member.issym():
        target.symlink_to(member.linkname)
    elif member.islnk():
        target.hardlink_to(_inside(root, member.linkname))
    elif member.isfile():
        _write(archive, member, target)


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    content = archive.extractfile(member)
    assert content is not None
    with target.open("xb") as file:
        shutil.copyfileobj(content, file, 1 << 20)
    target.chmod(member.mode & 0o7777)
