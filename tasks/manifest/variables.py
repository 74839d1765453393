"""Files of environment variables: YAML or JSON, or what is called .env, as gcloud's --env-vars-file takes them.

Nothing in them is replaced by what the machine that reads them has in its own environment.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import TypeVar

import dotenv
import yaml
from pydantic import TypeAdapter, ValidationError

from tasks.failures.cause import Cause
from tasks.failures.errors import ManifestError
from tasks.manifest.document import read_yaml
from tasks.manifest.loading import CORRECT, decoded
from tasks.manifest.manifest import Manifest
from tasks.manifest.rules import broken_rules
from tasks.manifest.settings import Runtime
from tasks.manifest.values import Variable

R = TypeVar("R", bound=Runtime)
_NAMES: TypeAdapter[str] = TypeAdapter(Variable)
_AS_WRITTEN = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


def with_env_files(manifest: Manifest, folder: Path) -> Manifest:
    """With the variables of all files that `env_file` names; what `env` says beside one wins.

    folder: what their paths are in. Raises ManifestError that tells everything that is wrong with them.
    """
    if not env_files(manifest):
        return manifest
    services = {name: _filled(each, folder, f"services.{name}") for name, each in manifest.services.items()}
    environments = {}
    for key, environment in manifest.environments.items():
        place = f"environments.{key}.services"
        own = {name: _filled(each, folder, f"{place}.{name}") for name, each in environment.services.items()}
        environments[key] = environment.model_copy(update={"services": own})
    filled = manifest.model_copy(update={"services": services, "environments": environments})
    if flaws := list(broken_rules(filled)):
        lines = [f"{'.'.join(map(str, flaw.path))}: {flaw.text}" for flaw in flaws]
        raise ManifestError("with the variables of env_file: " + "\n  ".join(lines), CORRECT)
    return filled


def env_files(manifest: Manifest) -> dict[str, str]:
    """Each file by the place that names it."""
    found = {f"services.{name}.env_file": each.env_file for name, each in manifest.services.items()}
    for key, environment in manifest.environments.items():
        for name, each in environment.services.items():
            found[f"environments.{key}.services.{name}.env_file"] = each.env_file
    return {place: file for place, file in found.items() if file}


def read_variables(path: Path, name: str) -> dict[str, str]:
    """The variables in a file; `name` is what errors call it. Raises ManifestError."""
    try:
        text = decoded(path.read_bytes(), name)
    except OSError as error:
        raise ManifestError(
            f"{name} cannot be read: {error.strerror}.",
            "commit it, or correct env_file in slipway.yaml.",
            Cause.NOT_FOUND,
        ) from None
    found = _dotenv(text, name) if name.endswith(".env") else _yaml(text, name)
    faults = [f"{name}: {variable}: {wrong}" for variable in found if (wrong := _wrong(variable))]
    if faults:
        raise ManifestError("\n  ".join(faults), "correct it there and commit it.")
    return found


def _filled(settings: R, folder: Path, place: str) -> R:
    if not settings.env_file:
        return settings
    path = folder / settings.env_file
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ManifestError(f"{place}.env_file: {settings.env_file} leads out of the repository.", "commit the file.")
    return settings.model_copy(update={"env": read_variables(path, settings.env_file) | settings.env})


def _wrong(variable: str) -> str:
    try:
        _NAMES.validate_python(variable)
    except ValidationError as error:
        return error.errors()[0]["msg"].removeprefix("Value error, ")
    return ""


def _dotenv(text: str, name: str) -> dict[str, str]:
    """https://saurabh-kumar.com/python-dotenv/, which gcloud reads such files by; without its replacements."""
    found = dotenv.dotenv_values(stream=StringIO(text), interpolate=False)
    for variable, value in found.items():
        if value is None:
            raise _refused(name, variable, "has no value; write NAME=value")
        if re.search(r"\$\{", value):
            raise _refused(name, variable, "has ${…} in it, which would be taken from whoever reads the file")
    return {variable: value for variable, value in found.items() if value is not None}


def _yaml(text: str, name: str) -> dict[str, str]:
    document = read_yaml(text, name)
    if document is None:
        return {}
    if not isinstance(document.root, yaml.MappingNode):
        raise ManifestError(f"{name}: must be a mapping of variables to values.", "correct it there and commit it.")
    for line, flaw in document.repeated:
        raise _refused(name, ".".join(map(str, flaw.path)), flaw.text, line)
    return dict(_scalars(document.root, name))


def _scalars(root: yaml.MappingNode, name: str) -> Iterator[tuple[str, str]]:
    for key, value in root.value:
        if not isinstance(value, yaml.ScalarNode) or value.tag not in _AS_WRITTEN:
            raise _refused(name, str(key.value), "must be text; put it in quotes", key.start_mark.line + 1)
        yield str(key.value), str(value.value)


def _refused(name: str, variable: str, text: str, line: int = 0) -> ManifestError:
    place = f"{name}:{line}" if line else name
    return ManifestError(f"{place}: {variable}: {text}.", "correct it there and commit it.")
