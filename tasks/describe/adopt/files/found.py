"""Which reader a file is for."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path, PurePosixPath

from tasks.describe.adopt.files.builds import builds_of_document, builds_of_script
from tasks.describe.adopt.files.commands import Read, executes, of_script, of_workflow
from tasks.describe.adopt.files.knative import documents, kind_of, of_document
from tasks.describe.adopt.files.terraform import of_terraform
from tasks.describe.adopt.seen import Built, Kind, Seen
from tasks.describe.scan import PASSED_OVER
from tasks.failures.cause import Cause
from tasks.failures.errors import ParameterError

YAML = (".yaml", ".yml", ".json")
READABLE = (*YAML, ".tf", ".sh", ".bash", "")
VALUES = ".tfvars"
TERRAFORM = (".tf", VALUES)
LONGEST_BYTES = 1_000_000
SHOWN = 5
LOOKED_AT = 2000  # files, where what is named describes nothing
# Each begins with what it looks for, which is found many times faster than one that may begin in five ways.
_SPEAK = [
    re.compile(pattern)
    for pattern in (
        r"run (jobs |worker-pools )?deploy\b",
        r"deploy-cloudrun@",
        r"\"google_cloud_run_(v2_)?(service|job|worker_pool)\"",
        r"serving\.knative\.dev/v1\b",
        r"run jobs create\b",
        r"run\n\s*-\s*deploy\b",
    )
]
# What scripts, workflows and Cloud Build call the project that they are run for.
_PROJECT = ("PROJECT_ID", "PROJECT", "GOOGLE_CLOUD_PROJECT", "GCP_PROJECT", "GCP_PROJECT_ID", "GCLOUD_PROJECT")


def read_files(paths: Sequence[Path], project: str = "") -> list[Seen]:
    """All services, jobs and worker pools that the files describe. ParameterError for none.

    A folder stands for Terraform's files in it. project: for which they are read, where that is known.
    """
    found: list[Seen] = []
    terraform: dict[Path, str] = {}
    executed: set[str] = set()
    for path in paths:
        if path.is_dir():
            terraform |= {each: _text(each) for each in sorted(path.glob("*.tf"))}
        elif path.suffix in TERRAFORM:
            terraform[path] = _text(path)
        else:
            text = _text(path)
            executed |= executes(text)
            found += of_file(path.name, text, _beside(path), _known(project))
    found += _of_terraform(terraform, project)
    if not found:
        raise _nothing(paths)
    return [replace(each, runs=True) if each.kind is Kind.JOB and each.name in executed else each for each in found]


def _of_terraform(texts: Mapping[Path, str], project: str) -> list[Seen]:
    """With the values that Terraform takes from beside them, and those of files that are named.

    https://developer.hashicorp.com/terraform/language/values/variables#variable-definition-precedence
    """
    files = {str(path): text for path, text in texts.items() if path.suffix != VALUES}
    beside = [
        each
        for folder in dict.fromkeys(path.parent for path in texts)
        for each in (folder / f"terraform{VALUES}", *sorted(folder.glob(f"*.auto{VALUES}")))
        if each not in texts and each.is_file()
    ]
    values = [*map(_text, beside), *(text for path, text in texts.items() if path.suffix == VALUES)]
    try:
        return of_terraform(files, project, values, _module)
    except ValueError as error:
        said = f"{', '.join(map(str, (*texts, *beside)))} cannot be read as Terraform: {error}."
        raise ParameterError(said, "correct it: terraform validate") from None


def _module(folder: str) -> dict[str, str]:
    return {str(path): _text(path) for path in sorted(Path(folder).glob("*.tf"))}


def _nothing(paths: Sequence[Path]) -> ParameterError:
    said = f"No Cloud Run service, job or worker pool is described in {', '.join(map(_called, paths))}."
    folders = [path for path in paths if path.is_dir()]
    speaking = (path for folder in folders or [Path()] for path in _described_below(folder) if path not in paths)
    if known := list(islice(speaking, SHOWN + 1)):
        more = ", …" * (len(known) > SHOWN)
        return ParameterError(
            f"{said} A folder stands for Terraform's files in it." if folders else said,
            f"name the files; these speak of Cloud Run: {', '.join(map(str, known[:SHOWN]))}{more}.",
            Cause.NOT_FOUND,
        )
    return ParameterError(
        said,
        "name files with `gcloud run deploy`, the deploy-cloudrun action, a service in YAML or Terraform's "
        "google_cloud_run_v2_service, or the like of jobs and pools; or none, and --project and --region, to read "
        "Cloud Run itself.",
        Cause.NOT_FOUND,
    )


def _described_below(folder: Path) -> Iterator[Path]:
    """Files that seem to deploy something: those of Terraform by their folders."""
    told: set[Path] = set()
    for path in islice(_readable_below(folder), LOOKED_AT):
        if _speaks(_text(path)):
            place = path.parent if path.suffix == ".tf" else path
            if place not in told:
                told.add(place)
                yield place


def _speaks(text: str) -> bool:
    return any(pattern.search(text) for pattern in _SPEAK)


def _readable_below(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(each for each in folders if each not in PASSED_OVER and each not in (".git", ".terraform"))
        paths = (Path(parent, name) for name in sorted(names))
        yield from (path for path in paths if path.suffix in READABLE and path.is_file())


def read_builds(paths: Sequence[Path], project: str = "") -> list[Built]:
    """What the files build images from."""
    known = _known(project)
    found: list[Built] = []
    for path in paths:
        if path.is_dir() or path.suffix in TERRAFORM:
            continue
        text = _text(path)
        read = documents(text) if path.suffix in YAML else None
        if read is None:
            found += builds_of_script(text, known)
        else:
            found += [built for each in read for built in builds_of_document(each, known)]
    return found


def _known(project: str) -> dict[str, str]:
    return dict.fromkeys(_PROJECT, project) if project else {}


def of_file(name: str, text: str, read: Read, known: Mapping[str, str]) -> Iterator[Seen]:
    """Of a file that is none of Terraform's."""
    if PurePosixPath(name).suffix not in YAML:
        yield from of_script(text, read, known)
        return
    found = documents(text)
    if found is None:
        yield from of_script(text, read, known)
        return
    for document in found:
        if kind_of(document):
            yield of_document(document)
        else:
            yield from of_workflow(document, read, known)


def _called(path: Path) -> str:
    return "this folder" if path == Path() else str(path)


def _text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            return file.read(LONGEST_BYTES)
    except OSError as error:
        raise ParameterError(
            f"{path} cannot be read: {error.strerror}.", "name files that are there.", Cause.NOT_FOUND
        ) from None


def _beside(path: Path) -> Read:
    """Reads what a file names, from its own folder or from the one that people start it in."""

    def read(name: str) -> str | None:
        for folder in (path.parent, Path()):
            if (folder / name).is_file():
                return _text(folder / name)
        return None

    return read
