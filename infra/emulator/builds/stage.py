"""One stage of a Dockerfile under way: its settings, its files and its layers."""

from __future__ import annotations

import copy
import posixpath
import re
from collections.abc import Callable, Mapping
from typing import Any

from infra.emulator.artifacts.blobs import Blobs
from infra.emulator.builds import dockerfile, rootfs
from infra.emulator.builds.bases import Base, environment
from infra.emulator.builds.context import Context
from infra.emulator.builds.dockerfile import DockerfileError, Instruction, Lookup
from infra.emulator.builds.rootfs import FOLDER, Entry, Tree

SHELL = ["/bin/sh", "-c"]
EPOCH = "1970-01-01T00:00:00Z"  # so that the same content gives the same image
DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
NANOSECONDS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
NOT_FOUND = "COPY failed: file not found in build context or excluded by .dockerignore: stat {}: file does not exist"
Files = Callable[[str], Tree]  # the files of a stage or image, by the name that --from gives it


def argument_defaults(instruction: Instruction, lookup: Lookup) -> dict[str, str | None]:
    """ARG's names with their defaults, None without one."""
    found: dict[str, str | None] = {}
    for word in dockerfile.words(instruction.value, lookup):
        name, sign, default = word.partition("=")
        found[name] = default if sign else None
    return found


class StageBuild:
    """`origin` names the image at the bottom; `tree` holds only what stages of this Dockerfile have added."""

    def __init__(self, base: Base, origin: str, tree: Tree, outer: Lookup, given: Mapping[str, str]) -> None:
        self.origin, self.tree = origin, tree
        self._base = base
        self._settings: dict[str, Any] = copy.deepcopy(base.settings)
        self._layers, self._diff_ids = list(base.layers), base.diff_ids
        self._history: list[dict[str, Any]] = list(base.config.get("history") or ())
        self._outer, self._given = outer, given
        self._arguments: dict[str, str] = {}
        self._shell = list(self._settings.get("Shell") or SHELL)

    def lookup(self, name: str) -> str | None:
        """ENV wins over ARG."""
        return environment(self._settings).get(name, self._arguments.get(name))

    def finish(self, labels: Mapping[str, str]) -> Base:
        """The stage as an image; it can go on afterwards."""
        settings = copy.deepcopy(self._settings)
        if labels:
            settings["Labels"] = {**(settings.get("Labels") or {}), **labels}
        config = {
            "architecture": "amd64",
            "os": "linux",
            "created": EPOCH,
            "config": settings,
            "rootfs": {"type": "layers", "diff_ids": list(self._diff_ids)},
            "history": list(self._history),
        }
        return Base(config, tuple(self._layers))

    def last_layer_is_in(self, image: Base) -> bool:
        """Whether the last step added a layer, and the image was made by the same steps up to there."""
        if self._history[-1].get("empty_layer"):
            return False
        history = list(image.config.get("history") or ())
        steps, layers = len(self._history), len(self._diff_ids)
        return history[:steps] == self._history and image.diff_ids[:layers] == self._diff_ids

    def apply(self, instruction: Instruction, context: Context, files: Files, blobs: Blobs) -> None:
        """Raises DockerfileError."""
        if instruction.name in ("COPY", "ADD"):
            self._add_layer(instruction, self._copied(instruction, context, files), blobs)
        elif instruction.name == "WORKDIR":
            self._workdir(instruction, blobs)
        else:
            settings: Mapping[str, Callable[[Instruction], None]] = {
                "ARG": self._arg,
                "CMD": self._cmd,
                "ENTRYPOINT": self._entrypoint,
                "ENV": self._env,
                "EXPOSE": self._expose,
                "HEALTHCHECK": self._healthcheck,
                "LABEL": self._label,
                "MAINTAINER": lambda _: None,
                "ONBUILD": self._onbuild,
                "SHELL": self._set_shell,
                "STOPSIGNAL": lambda given: self._set("StopSignal", self._expand(given.value)),
                "USER": lambda given: self._set("User", self._expand(given.value)),
                "VOLUME": self._volume,
            }
            settings[instruction.name](instruction)
            self._note(instruction, empty=True)

    # Settings

    def _set(self, name: str, value: object) -> None:
        self._settings[name] = value

    def _expand(self, text: str) -> str:
        return dockerfile.expand(text, self.lookup)

    def _words(self, text: str) -> list[str]:
        return dockerfile.words(text, self.lookup)

    def _arg(self, instruction: Instruction) -> None:
        for name, default in argument_defaults(instruction, self.lookup).items():
            value = self._given.get(name, default if default is not None else self._outer(name))
            if value is not None:
                self._arguments[name] = value

    def _env(self, instruction: Instruction) -> None:
        variables = environment(self._settings) | dockerfile.pairs(instruction, self.lookup)
        self._set("Env", [f"{name}={value}" for name, value in variables.items()])

    def _label(self, instruction: Instruction) -> None:
        self._set("Labels", (self._settings.get("Labels") or {}) | dockerfile.pairs(instruction, self.lookup))

    def _expose(self, instruction: Instruction) -> None:
        ports = [port if "/" in port else f"{port}/tcp" for port in self._words(instruction.value)]
        self._set("ExposedPorts", (self._settings.get("ExposedPorts") or {}) | {port: {} for port in ports})

    def _volume(self, instruction: Instruction) -> None:
        paths = instruction.json() or self._words(instruction.value)
        self._set("Volumes", (self._settings.get("Volumes") or {}) | {path: {} for path in paths})

    def _cmd(self, instruction: Instruction) -> None:
        self._set("Cmd", dockerfile.command(instruction, self._shell))

    def _entrypoint(self, instruction: Instruction) -> None:
        """Forgets an inherited CMD, as Docker does: it was meant for another program."""
        self._set("Entrypoint", dockerfile.command(instruction, self._shell))
        if "Cmd" in self._base.settings and self._settings.get("Cmd") == self._base.settings["Cmd"]:
            del self._settings["Cmd"]

    def _set_shell(self, instruction: Instruction) -> None:
        shell = instruction.json()
        if not shell:
            raise DockerfileError(f"line {instruction.line}: SHELL requires the arguments to be in JSON form")
        self._shell = shell
        self._set("Shell", shell)

    def _onbuild(self, instruction: Instruction) -> None:
        self._set("OnBuild", [*(self._settings.get("OnBuild") or ()), instruction.value])

    def _healthcheck(self, instruction: Instruction) -> None:
        kind, _, rest = instruction.value.partition(" ")
        if kind.upper() == "NONE":
            self._set("Healthcheck", {"Test": ["NONE"]})
            return
        words = Instruction(instruction.line, "CMD", rest.strip()).json()
        check: dict[str, Any] = {"Test": ["CMD", *words] if words else ["CMD-SHELL", rest.strip()]}
        for flag, name in (("interval", "Interval"), ("timeout", "Timeout"), ("start-period", "StartPeriod")):
            if flag in instruction.flags:
                check[name] = _nanoseconds(instruction.flags[flag])
        if "retries" in instruction.flags:
            check["Retries"] = int(instruction.flags["retries"])
        self._set("Healthcheck", check)

    # Files

    @property
    def _folder(self) -> str:
        return str(self._settings.get("WorkingDir") or "/")

    def _workdir(self, instruction: Instruction, blobs: Blobs) -> None:
        self._set("WorkingDir", posixpath.normpath(posixpath.join(self._folder, self._expand(instruction.value))))
        self._add_layer(instruction, {rootfs.clean(self._folder): FOLDER}, blobs)

    def _add_layer(self, instruction: Instruction, added: Tree, blobs: Blobs) -> None:
        """With the folders above what was added, unless they are there. Nothing new, no layer."""
        folders = {parent: FOLDER for path in added for parent in rootfs.parents(path)}
        tree = {path: item for path, item in (folders | added).items() if path and self._is_news(path, item)}
        if not tree:
            self._note(instruction, empty=True)
            return
        layer = rootfs.write_layer(tree, blobs)
        self.tree |= tree
        self._layers.append(layer.digest)
        self._diff_ids.append(layer.diff_id)
        self._note(instruction, empty=False)

    def _is_news(self, path: str, item: Entry) -> bool:
        """A folder that is there stays as it is; a file or link always replaces."""
        return item.kind != "folder" or path not in self.tree or self.tree[path].kind != "folder"

    def _note(self, instruction: Instruction, *, empty: bool) -> None:
        self._history.append(
            {"created": EPOCH, "created_by": instruction.raw} | ({"empty_layer": True} if empty else {})
        )

    def _copied(self, instruction: Instruction, context: Context, files: Files) -> Tree:
        """What a COPY or ADD brings, by its path in the image."""
        *sources, target = instruction.json() or self._words(instruction.value)
        if not sources:
            raise DockerfileError(f"line {instruction.line}: {instruction.name} requires at least two arguments")
        place = posixpath.join(self._folder, target)
        several = len(sources) > 1 or target.endswith("/") or posixpath.normpath(target) == "."
        copied: Tree = {}
        for source in sources:
            found = self._source(instruction, source, context, files)
            copied |= _placed(found, place, into=several or len(found) > 1 or self._is_folder(place))
        mode = instruction.flags.get("chmod")
        return {path: rootfs.with_mode(item, int(mode, 8)) for path, item in copied.items()} if mode else copied

    def _is_folder(self, place: str) -> bool:
        item = self.tree.get(rootfs.clean(place))
        return rootfs.clean(place) == "" or (item is not None and item.kind == "folder")

    def _source(self, instruction: Instruction, source: str, context: Context, files: Files) -> list[Found]:
        if (heredoc := dockerfile.HEREDOC.fullmatch(source)) and heredoc[2] in instruction.heredocs:
            data = instruction.heredocs[heredoc[2]].content(self.lookup).encode()
            return [Found(heredoc[2], Entry("file", 0o644, data=data), {})]
        if re.match(r"https?://|git@", source):
            raise DockerfileError(
                f"line {instruction.line}: ADD {source}: the built-in builder fetches nothing from the network. "
                "Add the file to the source, or install buildah."
            )
        tree = files(instruction.flags["from"]) if "from" in instruction.flags else None
        found = _in_tree(tree, source) if tree is not None else _in_context(context, source)
        if not found:
            raise DockerfileError(NOT_FOUND.format(source))
        return [_unpacked(item) for item in found] if instruction.name == "ADD" else found


class Found:
    """One thing that a source names: a file, or a folder with what is below it by relative path."""

    def __init__(self, name: str, item: Entry, below: Tree) -> None:
        self.name, self.item, self.below = name, item, below


def _placed(found: list[Found], place: str, *, into: bool) -> Tree:
    """Where things end up: a folder's content in the target, a file in it or, if it is no folder, as it."""
    tree: Tree = {}
    for thing in found:
        root = rootfs.clean(place)
        if thing.item.kind == "folder":
            tree[root] = FOLDER
            tree |= {f"{root}/{path}".lstrip("/"): item for path, item in thing.below.items()}
        else:
            tree[f"{root}/{thing.name}".lstrip("/") if into else root] = thing.item
    return tree


def _in_context(context: Context, pattern: str) -> list[Found]:
    found = []
    for path in context.match(pattern):
        item = rootfs.entry(context.root / path)
        below = context.below(path) if item.kind == "folder" else []
        cut = len(path) + 1 if path else 0
        tree = {inner[cut:]: rootfs.entry(context.root / inner) for inner in below}
        found.append(Found(posixpath.basename(path), item, tree))
    return found


def _in_tree(tree: Tree, source: str) -> list[Found]:
    path = rootfs.clean(source)
    below = {inner[len(path) + 1 if path else 0 :]: item for inner, item in tree.items() if _under(inner, path)}
    item = tree.get(path, FOLDER if below else None)
    return [] if item is None else [Found(posixpath.basename(path), item, below if item.kind == "folder" else {})]


def _under(inner: str, path: str) -> bool:
    return not path or inner.startswith(f"{path}/")


def _unpacked(thing: Found) -> Found:
    """ADD unpacks local tar archives."""
    if thing.item.path is None or not re.search(r"\.(tar|tgz|tbz2?|txz|tar\.\w+)$", thing.name):
        return thing
    tree = rootfs.read_archive(thing.item.path.read_bytes())
    return thing if tree is None else Found(thing.name, FOLDER, tree)


def _nanoseconds(text: str) -> int:
    return int(sum(float(number) * NANOSECONDS[unit] for number, unit in DURATION.findall(text)))
