"""What slipway.yaml may say about what is found in images."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from tasks.manifest.values import Duration, Strict, Url, between

SEVERITIES = ("minimal", "low", "medium", "high", "critical")  # Google's, from the least to the worst


class Ignored(Strict):
    """A vulnerability that is known, and shipped all the same for a while."""

    id: str = Field(min_length=3, max_length=100, description="As the scanner calls it: CVE-2026-1234.")
    until: date = Field(description="The last day, in UTC; at most a year ahead. After it, it counts again.")
    why: str = Field(min_length=5, max_length=500, description="Why it does no harm until then.")
    package: str | None = Field(None, min_length=1, description="In this package only. Default: in all.")


class Audit(Strict):
    """Lock files, whose packages are asked about before anything is built."""

    osv: Url = Field(
        "https://api.osv.dev",
        description="Who is asked: OSV, or a server of yours that answers as it does. It is told names and versions.",
    )


class Scan(Strict):
    """What Artifact Analysis finds in an image, before the image is deployed."""

    severity: Literal["minimal", "low", "medium", "high", "critical"] = Field(
        "critical", description="From which one on a vulnerability counts; what nobody has rated yet is high."
    )
    fixable_only: bool = Field(True, description="Whether only those count that an update would remove.")
    unknown: Literal["refuse", "warn"] = Field(
        "refuse",
        description="What to do with an image of which nobody can tell: not scanned, the scan failed, is too old, or "
        "cannot be asked for.",
    )
    wait_s: Annotated[Duration, between("0s", "1h")] = Field(
        600.0, alias="wait", description="How long to wait for a scan to finish."
    )
    sbom: Literal["never", "export", "require"] = Field(
        "export",
        description="The bill of materials of each image, which Artifact Analysis writes into a bucket of the project "
        "(SPDX) and the release record names. require: without it an image is not deployed.",
    )
    provenance: Literal["never", "record", "require"] = Field(
        "record",
        description="Whether what Cloud Build says of where an image comes from names its digest and our source. "
        "require: an image of which nobody can tell that is not deployed, images that are built elsewhere among them "
        "if no builder vouches for them.",
    )
    audit: Audit | None = Field(
        None,
        description="Whether what lock files name is asked about before the build, by the same rules; {} asks OSV. "
        "Read: requirements.txt, poetry.lock, uv.lock, Pipfile.lock, package-lock.json, yarn.lock, Cargo.lock and "
        "go.mod. Default: nobody asks.",
    )
    ignore: tuple[Ignored, ...] = Field((), description="What does not count for a while.")
