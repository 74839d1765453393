"""Finds `gcloud run deploy`, and that of jobs and worker pools, in scripts, workflows and build configurations, and the
deploy-cloudrun action. Pure.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from tasks.describe.adopt.files.asked import Asked
from tasks.describe.adopt.files.flags import asked, body
from tasks.describe.adopt.files.knative import of_document, services
from tasks.describe.adopt.files.settled import is_open, settled
from tasks.describe.adopt.seen import Built, Kind, Seen

Read = Callable[[str], str | None]  # the text of a file beside this one; None where there is none
ACTION = re.compile(r"google-github-actions/deploy-cloudrun@")
# By its name, or by a variable that is called so.
_GCLOUD = r"(?:gcloud|(?i:\$[{(]?\w*gcloud\w*[})]?|\"\$\{?\w*gcloud\w*\}?\"))"
_COMMAND = re.compile(
    rf"{_GCLOUD}(?:\s+(?:beta|alpha))?(?:\s+--?[\w-]+(?:[= ][^\s-]\S*)?)*\s+run\s+"
    r"(deploy|services\s+update|(?:jobs|worker-pools)\s+(?:deploy|create|update))\s"
)
_BETWEEN = r"[\"',]*\s+(?:\\\s+)?(?:-\s+)?[\"']?"
_EXECUTES = re.compile(rf"\bjobs{_BETWEEN}execute{_BETWEEN}(?:--[\w-]+(?:=[^\s\"',]+)?{_BETWEEN})*([a-z][a-z0-9-]*)")
_ASSIGNED = re.compile(
    r"^\s*(?:export\s+|readonly\s+|local\s+|declare\s+(?:-\w+\s+)?)*([A-Za-z_]\w*)=(.*)$", re.MULTILINE
)
_ARRAY = re.compile(r"^\s*([A-Za-z_]\w*)(\+?)=\(([^()]*(?:\$\([^()]*\)[^()]*)*)\)", re.MULTILINE)
_USED = re.compile(
    r"\$\{\{\s*(?:env|vars|inputs|secrets)\.(\w+)\s*\}\}|\$\{(\w+)(?::?[-=]([^}]*))?\}|\$(\w+)|\$\((\w+)\)"
)
_DEEPEST = 4  # variables that are made of others
_VARIABLE_MAPS = ("env", "substitutions", "variables", "environment")
KINDS = {"jobs": Kind.JOB, "worker-pools": Kind.POOL}
MAKING = ("deploy", "create", "update")
_SEPARATORS = frozenset({";", "&", "&&", "|", "||", ")", ">", ">>", "<", "<<"})


def executes(text: str) -> set[str]:
    """The jobs that are run by `gcloud run jobs execute`, on a line or as the words of a step."""
    return set(_EXECUTES.findall(re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)))


def of_script(text: str, read: Read, known: Mapping[str, str]) -> Iterator[Seen]:
    """The services that a shell script, a Makefile or a page deploys. known: variables of whoever runs it."""
    yield from _of_text(text, {**known, **dict(assignments(text, known))}, read)


def of_workflow(document: object, read: Read, known: Mapping[str, str]) -> Iterator[Seen]:
    """Those of a workflow of GitHub, a configuration of Cloud Build or any other YAML that has such commands in it."""
    yield from _of_node(document, known, read)


def _of_node(node: object, variables: Mapping[str, str], read: Read) -> Iterator[Seen]:
    if isinstance(node, Mapping):
        variables = {**variables, **own_variables(node, variables)}
        if ACTION.search(str(node.get("uses", ""))):
            yield from _of_action(node.get("with") or {}, variables, read)
        words = _words(node)
        if words is not None:
            after, kind = words
            yield _told([filled(word, variables) for word in after], kind, variables, read)
        else:
            for value in node.values():
                yield from _of_node(value, variables, read)
    elif isinstance(node, list):
        for value in node:
            yield from _of_node(value, variables, read)
    elif isinstance(node, str) and "gcloud" in node.lower():
        yield from _of_text(node, {**variables, **dict(assignments(node, variables))}, read)


def own_variables(node: Mapping[Any, Any], variables: Mapping[str, str]) -> dict[str, str]:
    """The variables that a job, a step or the whole file sets."""
    said: dict[str, str] = {}
    for key in _VARIABLE_MAPS:
        if isinstance(each := node.get(key), Mapping):
            said |= {str(name): plain(value) for name, value in each.items() if isinstance(value, str | int | float)}
    for _ in range(_DEEPEST):  # they may stand in any order
        known = {name: value for name, value in said.items() if not is_open(value)}
        said = {name: filled(value, {**variables, **known}) for name, value in said.items()}
    return {name: value for name, value in said.items() if not is_open(value)}


def _words(step: Mapping[Any, Any]) -> tuple[list[str], Kind] | None:
    """Of a step of Cloud Build whose arguments are the command's words: after `run deploy`, and what that deploys."""
    args = step.get("args")
    if not isinstance(args, list) or not all(isinstance(word, str | int | float) for word in args):
        return None
    words = [str(word) for word in args]
    while words[:1] in (["gcloud"], ["beta"], ["alpha"]):
        words = words[1:]
    if words[:2] == ["run", "deploy"]:
        return words[2:], Kind.SERVICE
    if words[:3] == ["run", "services", "update"]:
        return words[3:], Kind.SERVICE
    if words[:1] == ["run"] and words[1:2] and words[1] in KINDS and words[2:3] and words[2] in MAKING:
        return words[3:], KINDS[words[1]]
    return None


def assignments(text: str, known: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """NAME=value lines, in their order, filled in as far as what stands before tells."""
    variables = dict(known)
    for name, rest in _ASSIGNED.findall(text):
        try:
            words = shlex.split(rest, comments=True)
        except ValueError:
            continue
        value = filled(words[0] if words else "", variables)
        if not is_open(value):
            variables[name] = value
            yield name, value


def filled(text: str, variables: Mapping[str, str]) -> str:
    """With what is known of its variables; the others stay as they are written."""

    def fill(found: re.Match[str]) -> str:
        name = next(each for each in (found[1], found[2], found[4], found[5]) if each)
        return variables.get(name, found[3] if found[3] is not None else found[0])

    return _USED.sub(fill, text)


def _of_text(text: str, variables: Mapping[str, str], read: Read) -> Iterator[Seen]:
    for what, words, _ in commands(text, _COMMAND, variables):
        kind = next((KINDS[each] for each in what.split() if each in KINDS), Kind.SERVICE)
        yield _told(words, kind, variables, read)


def _told(words: list[str], kind: Kind, variables: Mapping[str, str], read: Read) -> Seen:
    seen = _seen(asked(words, kind), variables, read)
    return replace(seen, runs=kind is Kind.JOB and "--execute-now" in words)


def commands(text: str, command: re.Pattern[str], variables: Mapping[str, str]) -> Iterator[tuple[str, list[str], str]]:
    """What the pattern's group says of each command in a script, the words after it, and its line before it."""
    joined, arrays = re.sub(r"\\\s*\n\s*", " ", text), dict[str, list[str]]()
    for name, more, inside in _ARRAY.findall(text):
        try:
            words = shlex.split(inside, comments=True)
        except ValueError:
            continue
        arrays[name] = [*arrays.get(name, ()), *words] if more else words
    for found in command.finditer(joined):
        start = joined.rfind("\n", 0, found.start()) + 1
        if joined[start : found.start()].lstrip().startswith("#"):
            continue
        rest = joined[found.end() :].split("\n\n")[0]
        if (quote := joined[start : found.start()][-1:]) in (
            "'",
            '"',
        ):  # an argument of another command: retry "gcloud …"
            rest = rest.split("\n")[0].rpartition(quote)[0] or rest
        words = [each for word in split_words(rest) for each in array_words(word, arrays)]
        yield found[1], [filled(word, variables) for word in words], filled(joined[start : found.start()], variables)


def array_words(word: str, arrays: Mapping[str, list[str]]) -> list[str]:
    """The words of `${NAME[@]}`."""
    found = re.fullmatch(r"\$\{(\w+)\[[@*]\]\}", word)
    return arrays.get(found[1], [word]) if found else [word]


def split_words(text: str) -> list[str]:
    """The words up to the end of the command."""
    line = text.split("\n")[0]
    while line.count("'") % 2 or line.count('"') % 2:  # a quoted value may go over several lines
        longer = text[: len(line) + 1 + len(text[len(line) + 1 :].split("\n")[0])]
        if longer == line:
            break
        line = longer
    lexer = shlex.shlex(re.sub(r"\$\{\{\s*([\w.]+)\s*\}\}", r"${{\1}}", line), posix=True, punctuation_chars=";&|<>")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    words = []
    try:
        for word in lexer:
            if word in _SEPARATORS:
                break
            words.append(word)
    except ValueError:
        words = line.split()
    return words


def _of_action(said: Mapping[str, Any], variables: Mapping[str, str], read: Read) -> Iterator[Seen]:
    """https://github.com/google-github-actions/deploy-cloudrun#inputs"""
    given = {key: filled(str(value), variables) for key, value in said.items()}
    if metadata := given.get("metadata"):
        yield from map(of_document, services(read(metadata) or ""))
        return
    words = [given["service"]] if "service" in given else []
    names = {"image": "image", "source": "source", "region": "region", "project_id": "project", "timeout": "timeout"}
    words += [f"--{flag}={given[key]}" for key, flag in names.items() if given.get(key)]
    for key, flag in {"env_vars": "set-env-vars", "secrets": "set-secrets", "labels": "labels"}.items():
        if entries := _lines(given.get(key, "")):
            words.append(f"--{flag}=^\n^" + "\n".join(entries))
    words += split_words(" ".join(given.get("flags", "").split()))
    yield _seen(asked(words), variables, read)


def _lines(text: str) -> list[str]:
    """KEY=value entries, by lines or by commas."""
    return [line.strip() for line in (text.splitlines() if "\n" in text.strip() else text.split(",")) if "=" in line]


def _seen(found: Asked, variables: Mapping[str, str], read: Read) -> Seen:
    for file in found.files:
        _read_variables(found, file, read)
    image = str(found.main.get("image", ""))
    source, decide = found.source, list(found.told)
    unsure = source is None or is_open(source)
    if source is None and (not image or is_open(image)):
        source = "."
    if source is not None:
        found.main.pop("image", None)
        source = "." if is_open(source) else source
    said, opened = settled(body(found))
    region, project = (("" if is_open(value) else value) for value in (found.region, found.project))
    name = found.name if found.name and not is_open(found.name) else ""
    if not name:
        decide.append(f"name: what it is called in Cloud Run; it was {found.name or 'not said'}.")
    public = found.public if found.public is not None else None
    built = Built(image, source, unsure=unsure) if source is not None else None
    return Seen(name, region, said, project, public, built, decide=(*decide, *opened), kind=found.kind)


def _read_variables(found: Asked, file: str, read: Read) -> None:
    import yaml

    text = None if is_open(file) else read(file)
    try:
        said = yaml.safe_load(text) if text else None
    except yaml.YAMLError:
        said = None
    if not isinstance(said, Mapping):
        found.told.append(f"env: the variables of {file}, which could not be read.")
        return
    env = found.main.setdefault("env", [])
    env += [{"name": str(name), "value": plain(value)} for name, value in said.items()]


def plain(value: object) -> str:
    """As a text: YAML's true is `true`."""
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)
