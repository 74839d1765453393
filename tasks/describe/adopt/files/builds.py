"""What scripts, workflows and build configurations build images from. Pure.

https://docs.docker.com/reference/cli/docker/buildx/build/, https://github.com/docker/build-push-action#inputs
https://cloud.google.com/build/docs/build-config-file-schema, https://github.com/GoogleContainerTools/kaniko
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tasks.describe.adopt.files.commands import assignments, commands, filled, own_variables
from tasks.describe.adopt.files.settled import is_open
from tasks.describe.adopt.seen import Built

ACTION = re.compile(r"docker/build-push-action@")
_COMMAND = re.compile(r"\b((?:docker|podman)\s+(?:buildx\s+|image\s+)?build|gcloud(?:\s+beta)?\s+builds\s+submit)\s")
_PACK = re.compile(r"\b(pack)\s+build\s")
_ENTERED = re.compile(r"\bcd\s+[\"']?([^\s\"';&]+)[\"']?\s*(?:&&|;)")
# Flags of them that are words of their own and have no value.
_ALONE = frozenset({
    "--push", "--load", "--pull", "--no-cache", "-q", "--quiet", "--squash", "--rm", "--force-rm", "--compress",
    "--async", "--no-source", "--cleanup", "--reproducible", "--publish", "--suppress-logs", "--verbose", "-v",
})  # fmt: skip
_TAGS = ("-t", "--tag", "--destination", "-d")
_FILES = ("-f", "--file", "--dockerfile")


def builds_of_script(text: str, known: Mapping[str, str]) -> Iterator[Built]:
    """Those of a shell script, a Makefile or a page. known: variables of whoever runs it."""
    yield from _of_text(text, {**known, **dict(assignments(text, known))})


def builds_of_document(document: object, known: Mapping[str, str]) -> Iterator[Built]:
    """Those of a workflow of GitHub, a configuration of Cloud Build or any other YAML with such commands in it."""
    yield from _of_node(document, known)


def same_image(one: str, other: str) -> bool:
    """Whether two texts are of one image, whichever version."""
    return bool(one) and _untagged(one) == _untagged(other)


def _untagged(image: str) -> str:
    name = image.partition("@")[0]
    *folders, last = re.split(r"/(?![^{]*})", name)
    return "/".join([*folders, re.sub(r":(?![^{]*}).*$", "", last)])


def _of_node(node: object, variables: Mapping[str, str]) -> Iterator[Built]:
    if isinstance(node, Mapping):
        variables = {**variables, **own_variables(node, variables)}
        folder = filled(str(node.get("dir") or node.get("working-directory") or "."), variables)
        if ACTION.search(str(node.get("uses", ""))):
            yield from _of_action(node.get("with") or {}, variables)
        words = [filled(str(word), variables) for word in node.get("args") or ()] if _is_list(node.get("args")) else []
        if words and (command := _step(node, words)):
            yield from _of_words(command[0], command[1], folder)
        else:
            for value in node.values():
                yield from (_below(folder, each) for each in _of_node(value, variables))
    elif isinstance(node, list):
        for value in node:
            yield from _of_node(value, variables)
    elif isinstance(node, str) and "build" in node:
        yield from _of_text(node, {**variables, **dict(assignments(node, variables))})


def _is_list(args: object) -> bool:
    return isinstance(args, list) and all(isinstance(word, str | int | float) for word in args)


def _step(step: Mapping[Any, Any], words: Sequence[str]) -> tuple[str, Sequence[str]] | None:
    """Of a step of Cloud Build: what builds, and its words."""
    by = f"{step.get('entrypoint') or ''} {step.get('name') or ''}"
    if "kaniko" in by:
        return "kaniko", words
    plain = [word for word in words[:3] if word not in ("docker", "pack", "buildx", "gcloud")]
    if plain[:1] == ["build"] and re.search(r"docker|pack", f"{by} {words[0]}"):
        return ("pack" if "pack" in f"{by} {words[0]}" else "docker"), words[words.index("build") + 1 :]
    return ("gcloud", words[words.index("submit") + 1 :]) if plain[:2] == ["builds", "submit"] else None


def _of_text(text: str, variables: Mapping[str, str]) -> Iterator[Built]:
    for pattern in (_COMMAND, _PACK):
        for what, words, before in commands(text, pattern, variables):
            inside = _ENTERED.findall(before)
            yield from _of_words(what.split()[0], words, inside[-1] if inside else ".")


def _of_words(what: str, words: Sequence[str], folder: str) -> Iterator[Built]:
    """What follows `docker build`, `pack build`, `gcloud builds submit`, or kaniko's name."""
    flags, rest = _flags(words)
    tags = [tag for flag, value in flags if flag in _TAGS for tag in value.split(",")]
    said = dict(flags)
    context = rest[-1] if rest else "."
    if what == "kaniko":
        context = said.get("--context", ".").removeprefix("dir://").removeprefix("/workspace").strip("/") or "."
    elif what == "pack":
        tags, context = [*rest[:1], *tags], said.get("--path", said.get("-p", "."))
    elif what == "gcloud" and not tags:
        return
    file = next((said[flag] for flag in _FILES if flag in said), "")
    args = dict(value.partition("=")[::2] for flag, value in flags if flag == "--build-arg" and "=" in value)
    yield from _built(tags, folder, context, file, args, said.get("--target", ""), what == "kaniko")


def _flags(words: Sequence[str]) -> tuple[list[tuple[str, str]], list[str]]:
    flags, rest, left = list[tuple[str, str]](), list[str](), iter(words)
    for word in left:
        if not word.startswith("-") or word == "-":
            rest.append(word)
        elif "=" in word and word.startswith("--"):
            flags.append(word.partition("=")[::2])
        elif word not in _ALONE:
            flags.append((word, next(left, "")))
    return flags, rest


def _of_action(said: Mapping[str, Any], variables: Mapping[str, str]) -> Iterator[Built]:
    given = {str(key): filled(str(value), variables) for key, value in said.items()}
    tags = [tag.strip() for tag in re.split(r"[,\n]", given.get("tags", "")) if tag.strip()]
    args = dict(line.strip().partition("=")[::2] for line in given.get("build-args", "").splitlines() if "=" in line)
    context, file = given.get("context", "."), given.get("file", "")
    yield from _built(tags, ".", context, file, args, given.get("target", ""))


def _built(
    tags: Sequence[str], folder: str, context: str, file: str, args: Mapping[str, str], target: str, inner: bool = False
) -> Iterator[Built]:
    """inner: the Dockerfile's path is below the context, not below the folder that the command is started in."""
    if "://" in context or any(map(is_open, (folder, context, file, target))):
        return
    source = posixpath.normpath(posixpath.join(folder, context))
    place = posixpath.normpath(posixpath.join(source if inner else folder, file)) if file else ""
    dockerfile = posixpath.relpath(place, source) if place else ""
    if source.startswith(("..", "/")) or dockerfile.startswith("../"):
        return
    known = {name: value for name, value in args.items() if not is_open(value)}
    dockerfile = "" if dockerfile == "Dockerfile" else dockerfile
    for tag in dict.fromkeys(tags):
        yield Built(tag, source, dockerfile, known, target, unsure=False)


def _below(folder: str, built: Built) -> Built:
    """Of a script that is started in a folder."""
    if folder == "." or is_open(folder):
        return built
    return Built(
        built.image, posixpath.normpath(f"{folder}/{built.source}"), built.dockerfile, built.args, built.target, False
    )
