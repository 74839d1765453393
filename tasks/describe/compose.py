"""What a compose file says of the services that it builds.

https://github.com/compose-spec/compose-spec/blob/main/spec.md
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from pydantic import TypeAdapter

from tasks.describe.dockerfile import asked_path, asked_port, resolved
from tasks.describe.proposal import Found, Proposal, is_secret
from tasks.manifest.values import Variable
from tasks.names.naming import url_variable

# The first that is there: https://docs.docker.com/compose/intro/compose-application-model/#the-compose-file
COMPOSE_FILES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
_VARIABLE: TypeAdapter[str] = TypeAdapter(Variable)


def read_compose(text: str, name: str, dotenv: str = "") -> Proposal:
    """Its services with `build`, named as there; a note for each of the others. Values that may be secret are left.

    dotenv: the text of the .env file beside it, which only says how images are built and which ports are published.
    """
    known = _dotenv(dotenv)
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return Proposal((), (f"{name} cannot be read as YAML.",))
    services = document.get("services") if isinstance(document, dict) else None
    if not isinstance(services, dict):
        return Proposal((), (f"{name} has no services.",))
    built = {str(key): said for key, said in services.items() if isinstance(said, dict) and said.get("build")}
    main = {key: said for key, said in built.items() if not said.get("profiles")}
    found, notes = [], []
    for key, said in main.items():
        try:
            found.append(_service(key, said, known, set(main), {str(other) for other in services}))
        except ValueError as error:
            notes.append(f"{name}: {key}: {error}.")
    for key, said in services.items():
        if str(key) in built and str(key) not in main:
            notes.append(f"{name}: {key} is only built with a profile.")
        elif str(key) not in main:
            image = resolved(str(said.get("image", "")), known) if isinstance(said, dict) else ""
            notes.append(
                f"{name}: {key} ({image or '?'}) is run elsewhere; tell the services where, in env or secrets."
            )
    return Proposal(tuple(found), tuple(notes))


def _service(name: str, said: Mapping[str, Any], known: Mapping[str, str], built: set[str], others: set[str]) -> Found:
    build = said["build"] if isinstance(said["build"], dict) else {"context": said["build"]}
    source = posixpath.normpath(resolved(str(build.get("context") or "."), known) or "..")
    if source.startswith(("..", "/")) or "://" in source:
        raise ValueError("its build context is not in this folder")
    dockerfile = posixpath.normpath(resolved(str(build.get("dockerfile") or "Dockerfile"), known) or "..")
    if dockerfile.startswith(("..", "/")):
        raise ValueError(f"its Dockerfile {dockerfile} is not in its build context")
    needed = tuple(each for each in map(str, _items(said.get("depends_on"))) if each in built and each != name)
    pairs = _pairs(said.get("environment"), {})
    urls = dict(_urls(pairs, built - {name}))
    plain = {key: value for key, value in pairs.items() if key not in urls}
    env, decide = _environment(plain, needed, others - {name})
    arguments = _pairs(build.get("args"), known)
    args, _ = _environment(arguments, (), set())
    test = said.get("healthcheck", {}).get("test") if isinstance(said.get("healthcheck"), dict) else ""
    ports = list(_ports(said, known)) or list(filter(None, [asked_port(_line(test))]))
    if left := ", ".join(key for key in arguments if key not in args):
        decide.append(f"build: args, which are not written here: {left}.")
    works = None if ports else _arguments(said)
    own = () if works else [key for key in ("command", "entrypoint") if said.get(key)]
    decide += [f"what starts it: it has {key} of its own in compose." for key in own]
    health = asked_path(_line(test))
    if target := build.get("target"):
        decide.append(f"what it is built to: in compose it is the stage {target}.")
    port = ports[0] if ports else None
    kept = {key: other for key, other in urls.items() if other not in needed or key != url_variable(other)}
    return Found(name, source, dockerfile, port, args, env, needed, health, kept, works, decide=tuple(decide))


def _urls(pairs: Mapping[str, str | None], built: set[str]) -> Iterator[tuple[str, str]]:
    """Variables that hold nothing but the address of a service that is built there too."""
    for name, value in pairs.items():
        found = re.fullmatch(r"https?://([\w.-]+)(?::\d+)?/?", value or "")
        if found and found[1] in built and _is_variable(name):
            yield name, found[1]


def _arguments(said: Mapping[str, Any]) -> tuple[str, ...]:
    """What compose has it started with instead of what the Dockerfile says; empty where only a shell knows."""
    command = said.get("command")
    if said.get("entrypoint") or not command:
        return ()
    try:
        words = shlex.split(command) if isinstance(command, str) else [str(word) for word in _items(command)]
    except ValueError:
        return ()
    return () if any(re.search(r"[$;|&<>]", word) for word in words) else tuple(words)


def _line(test: object) -> str:
    return " ".join(map(str, test)) if isinstance(test, list) else str(test or "")


def _dotenv(text: str) -> dict[str, str]:
    """Its variables, but for those that may be secret."""
    found: dict[str, str] = {}
    for name, value in re.findall(r"^(?:export[ ]+)?(\w+)[ ]*=[ ]*(.*?)[ ]*$", text, re.MULTILINE):
        plain = resolved(value.strip("\"'"), found)
        if plain is not None and not is_secret(name, plain):
            found[name] = plain
    return found


def _items(said: object) -> list[Any]:
    """Of a list, or the keys of a mapping; none of anything else."""
    return list(said) if isinstance(said, list | dict) else []


def _pairs(said: object, known: Mapping[str, str]) -> dict[str, str | None]:
    """Variables as a mapping or as a list of NAME=value; None for what comes from whoever starts it."""
    if isinstance(said, dict):
        texts = {str(key): _text(value) for key, value in said.items()}
    elif isinstance(said, list):
        split = (str(item).partition("=") for item in said)
        texts = {key: value if is_given else None for key, is_given, value in split}
    else:
        texts = {}
    return {key: None if value is None else resolved(value, known) for key, value in texts.items()}


def _text(value: object) -> str | None:
    """YAML's true is the text `true` for a container."""
    return str(value).lower() if isinstance(value, bool) else None if value is None else str(value)


def _environment(
    pairs: Mapping[str, str | None], needed: tuple[str, ...], others: set[str]
) -> tuple[dict[str, str], list[str]]:
    """The variables that can be said as they are, and a sentence for those that a person must decide."""
    said: dict[str, str] = {}
    secret, open_, local = [], [], []
    for name, value in pairs.items():
        if not _is_variable(name) or name in map(url_variable, needed):
            continue
        if is_secret(name, value or ""):
            secret.append(name)
        elif not value:
            open_.append(name)
        elif any(re.search(rf"(^|[/@,=]){re.escape(other)}($|[:/,])", value) for other in others):
            local.append(name)
        else:
            said[name] = value
    decide = []
    if secret:
        decide.append(f"secrets, which map a variable to a secret's name: {', '.join(secret)}.")
    if open_:
        decide.append(f"env, values that come from outside: {', '.join(open_)}.")
    if local:
        decide.append(f"env, addresses that only hold in compose: {', '.join(local)}.")
    return said, decide


def _is_variable(name: str) -> bool:
    """Whether slipway.yaml takes it; PORT is set by Cloud Run."""
    try:
        return bool(_VARIABLE.validate_python(name))
    except ValueError:
        return False


def _ports(said: Mapping[str, Any], known: Mapping[str, str]) -> Iterator[int]:
    """The ports inside the container: of "8080:80", {target: 80} and expose."""
    for item in (*_items(said.get("ports")), *_items(said.get("expose"))):
        text = resolved(str(item.get("target", "")) if isinstance(item, dict) else str(item), known) or ""
        port, _, protocol = text.rpartition(":")[2].partition("/")
        port = port.split("-")[0]
        if port.isascii() and port.isdigit() and 1 <= int(port) <= 65535 and protocol in ("", "tcp"):
            yield int(port)
