"""The options that several commands share."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

Json = Annotated[bool, Parameter(name="--json", help="Print the result as JSON on standard output.")]
Environment = Annotated[str, Parameter(name=["--environment", "-e"], help="Environment of slipway.yaml.")]
Repository = Annotated[str, Parameter(name=["--repository", "--repo"], help="Path or URL of the repository.")]
Ref = Annotated[str | None, Parameter(help="Branch, tag or commit; by default the work tree as it is.")]
Services = Annotated[list[str] | None, Parameter(name="--service", help="Only this service; repeatable.")]
Who = Annotated[str | None, Parameter(help="Override a safeguard in this name; it goes into the release record.")]
Why = Annotated[str | None, Parameter(help="Why the safeguard does not hold this time.")]
