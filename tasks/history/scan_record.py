"""What a release record keeps of what was found in an image, or is named by a lock file. Pure."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict


class ScanRecord(BaseModel):
    """One image, as it was judged last."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    image: str  # reference by digest; of a lock file its path in the repository
    verdict: str  # clean, blocked or unknown; also what another version of Slipway says
    reason: str
    ignored: tuple[str, ...] = ()  # ids of vulnerabilities that an exception let through
    when: datetime  # UTC
    scanned: datetime | None = None  # when the scanner looked last, as far as it says
    sbom: str = ""  # gs://…: its bill of materials; '' where there is none, or nobody asked
    sbom_sha256: str = ""
    provenance: str = ""  # named, or why it is unknown; '' where nobody asked
    builder: str = ""  # that its provenance names: https://cloudbuild.googleapis.com/GoogleHostedWorker@v0.3
    build: str = ""  # projects/{project}/locations/{region}/builds/{id}
