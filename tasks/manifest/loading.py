"""Reads slipway.yaml, or says everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from tasks.failures.cause import Cause
from tasks.failures.errors import ManifestError
from tasks.manifest.document import Document, Flaw, read_yaml
from tasks.manifest.document import Path as FilePath
from tasks.manifest.flaws import refused
from tasks.manifest.manifest import MANIFEST_NAME, Manifest
from tasks.manifest.rules import broken_rules

CORRECT = "correct these lines; an editor that knows slipway.schema.json completes and checks every key."
_EXAMPLE = """\
app: shop
services:
  web: {source: .}
environments:
  staging: {project: my-project, regions: [europe-west1]}"""


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One thing that is wrong with what slipway.yaml says."""

    line: int  # from 1; 0 when it is about no line
    key: str  # services.api.depends_on[0]; '' for the whole file
    problem: str  # follows the key
    remedy: str = ""  # '' where the problem says it


@dataclass(frozen=True, slots=True)
class Judged:
    """A text that is YAML: the manifest that it says, or all its faults in the order of their lines."""

    document: Document
    manifest: Manifest | None
    faults: tuple[Fault, ...]

    def place(self, path: FilePath) -> tuple[int, str]:
        """Line and key of a value."""
        return self.document.line(path), _key(path)


def load_manifest(path: Path) -> Manifest:
    """Read slipway.yaml, or the one in a folder; ManifestError that lists everything wrong with it."""
    path = path / MANIFEST_NAME if path.is_dir() else path
    return parse_manifest(read_text(path), path.name)


def read_text(path: Path) -> str:
    """The text of a manifest's file; ManifestError when there is none, or it is no text."""
    try:
        return decoded(path.read_bytes(), path.name)
    except OSError as error:
        raise ManifestError(
            f"{path} cannot be read: {error.strerror}.",
            f"run `slipway init` there, or describe the app yourself, for instance:\n{_EXAMPLE}",
            Cause.NOT_FOUND,
        ) from None


def decoded(content: bytes, name: str) -> str:
    """ManifestError where it is not UTF-8."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ManifestError(f"{name}:{line}: not UTF-8.", "save the file with the encoding UTF-8.") from None


def parse_manifest(text: str, name: str = MANIFEST_NAME) -> Manifest:
    """The manifest in a YAML text; ManifestError that lists what is wrong with it, as `name:line: key: problem`."""
    judged = judge(text, name)
    if judged.manifest is None:
        raise ManifestError(told(judged.faults, name), CORRECT)
    return judged.manifest


def judge(text: str, name: str = MANIFEST_NAME) -> Judged:
    """What a YAML text says, with its faults; ManifestError when it is empty or no YAML.

    First everything that the types of single values refuse, and when they refuse nothing, every broken rule.
    """
    document = read_yaml(text, name)
    if document is None or document.data in ({}, None):
        raise ManifestError(f"{name} is empty.", f"describe the app, for instance:\n{_EXAMPLE}")
    try:
        manifest = Manifest.model_validate(document.data)
    except ValidationError as error:
        return Judged(document, None, _placed(document, refused(error, Manifest)))
    faults = _placed(document, broken_rules(manifest))
    return Judged(document, None if faults else manifest, faults)


def told(faults: Sequence[Fault], name: str = MANIFEST_NAME) -> str:
    """All faults in the words of an error, one per line."""
    count = "a problem" if len(faults) == 1 else f"{len(faults)} problems"
    return "\n  ".join([f"{name} has {count}:", *(fault_line(fault, name) for fault in faults)])


def fault_line(fault: Fault, name: str = MANIFEST_NAME) -> str:
    """`slipway.yaml:7: services.api.memory: must be …`"""
    place = f"{name}:{fault.line}: " if fault.line else ""
    return f"{place}{fault.key and f'{fault.key}: '}{fault.problem}"


def _placed(document: Document, flaws: Iterable[Flaw]) -> tuple[Fault, ...]:
    placed = [*document.repeated, *((document.line(flaw.path), flaw) for flaw in flaws)]
    faults = {Fault(line, _key(flaw.path), flaw.text) for line, flaw in placed}
    return tuple(sorted(faults, key=lambda fault: (fault.line, fault_line(fault))))


def _key(path: FilePath) -> str:
    """`services.api.depends_on[0]`; nothing for the whole file."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return "".join(steps).removeprefix(".")
