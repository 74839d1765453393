"""Reads slipway.yaml, or says everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from tasks.failures.errors import Cause, ManifestError
from tasks.manifest.document import Document, Flaw, read_yaml
from tasks.manifest.document import Path as FilePath
from tasks.manifest.flaws import refused
from tasks.manifest.manifest import MANIFEST_NAME, Manifest
from tasks.manifest.rules import broken_rules

_EXAMPLE = """\
app: shop
services:
  web: {source: .}
environments:
  staging: {project: my-project, regions: [europe-west1]}"""


def load_manifest(path: Path) -> Manifest:
    """Read slipway.yaml, or the one in a folder; ManifestError that lists everything wrong with it."""
    path = path / MANIFEST_NAME if path.is_dir() else path
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ManifestError(f"{path.name}:{line}: not UTF-8.", "save the file with the encoding UTF-8.") from None
    except OSError as error:
        raise ManifestError(
            f"{path} cannot be read: {error.strerror}.",
            f"describe the app there, for instance:\n{_EXAMPLE}",
            Cause.NOT_FOUND,
        ) from None
    return parse_manifest(text, path.name)


def parse_manifest(text: str, name: str = MANIFEST_NAME) -> Manifest:
    """The manifest in a YAML text; ManifestError that lists what is wrong with it, as `name:line: key: problem`.

    First everything that the types of single values refuse, and when they refuse nothing, every broken rule.
    """
    document = read_yaml(text, name)
    if document is None or document.data in ({}, None):
        raise ManifestError(f"{name} is empty.", f"describe the app, for instance:\n{_EXAMPLE}")
    try:
        manifest = Manifest.model_validate(document.data)
    except ValidationError as error:
        raise _refusal(name, document, refused(error, Manifest)) from None
    broken = list(broken_rules(manifest))
    if broken or document.repeated:
        raise _refusal(name, document, broken)
    return manifest


def _refusal(name: str, document: Document, flaws: Iterable[Flaw]) -> ManifestError:
    placed = [*document.repeated, *((document.line(flaw.path), flaw) for flaw in flaws)]
    lines = sorted({(line, f"{name}:{line}: {_key(flaw.path)}{flaw.text}") for line, flaw in placed})
    count = "a problem" if len(lines) == 1 else f"{len(lines)} problems"
    return ManifestError(
        "\n  ".join([f"{name} has {count}:", *(text for _, text in lines)]),
        "correct these lines; an editor that knows slipway.schema.json completes and checks every key.",
    )


def _key(path: FilePath) -> str:
    """`services.api.depends_on[0]: `; nothing for the whole file."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return f"{''.join(steps).removeprefix('.')}: " if path else ""
