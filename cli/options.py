"""The options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

Json = Annotated[bool, Parameter(name="--json", help="Print the result as JSON on standard output.")]
Environment = Annotated[str, Parameter(name=["--environment", "-e"], help="Environment of slipway.yaml.")]
Repository = Annotated[str, Parameter(name=["--repository", "--repo"], help="Path or URL of the repository.")]
Folder = Annotated[str | None, Parameter(help="Where slipway.yaml is in the repository; by default at its root.")]
Ref = Annotated[str | None, Parameter(help="Branch, tag or commit; by default the work tree as it is.")]
Services = Annotated[list[str] | None, Parameter(name="--service", help="Only this service; repeatable.")]
Who = Annotated[str | None, Parameter(help="Override a safeguard in this name; it goes into the release record.")]
Why = Annotated[str | None, Parameter(help="Why the safeguard does not hold this time.")]


def source_of(repository: str, ref: str | None = None, folder: str | None = None) -> dict[str, Any]:
    """The `source` of a run; a path is made one that means the same elsewhere on this machine."""
    is_path = "://" not in repository and Path(repository).exists()
    place = str(Path(repository).absolute()) if is_path else repository
    return {"repository": place, "ref": ref} | ({"folder": folder} if folder else {})
