"""Where an image comes from, and what is in it: its provenance and its bill of materials, before it is deployed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from prefect.logging import get_run_logger

from infra.gcp.artifacts import papers
from infra.gcp.artifacts.papers import Bill, Provenance
from infra.gcp.artifacts.registries import as_scanned
from infra.gcp.calls.errors import GoogleError
from infra.gcp.calls.polling import until
from tasks.failures.explain import explain
from tasks.manifest.scan import Scan
from tasks.model import Image
from tasks.orchestration.gather import all_of
from tasks.orchestration.step import step

FIRST_POLL_S, LONGEST_POLL_S = 0.5, 10.0
LONGEST_S = 3700.0
WRITTEN_S = 30.0  # Cloud Build notes where an image comes from a moment after it was built
NAMED = "named"


@dataclass(frozen=True, slots=True)
class Papers:
    """What is known of an image. Of what nobody asked for, nothing."""

    provenance: str = ""  # NAMED, or why it is unknown
    by: Provenance | None = None
    bill: Bill | None = None
    without: str = ""  # why there is no bill of materials


async def all_papers(images: Sequence[Image], rules: Scan, commit: str) -> dict[str, Papers]:
    """By reference. commit: of git, that is released."""
    asked = {image.reference: image for image in images}
    if rules.sbom == rules.provenance == "never":
        return {}
    found = await all_of([look_at_papers(image, rules, commit) for image in asked.values()])
    return dict(zip(asked, found, strict=True))


@step("look at its papers", run_name="look at the papers of {image.service}", timeout_s=LONGEST_S)
async def look_at_papers(image: Image, rules: Scan, commit: str) -> Papers:
    """What cannot be asked for is unknown."""
    why, by = ("", None) if rules.provenance == "never" else await _provenance(image, commit, rules.wait_s)
    bill, without = (None, "") if rules.sbom == "never" else await _bill(image, rules.wait_s)
    return Papers(why, by, bill, without)


async def _provenance(image: Image, commit: str, wait_s: float) -> tuple[str, Provenance | None]:
    last: tuple[str, Provenance | None] = ("nobody has noted where it comes from", None)

    async def known() -> bool:
        nonlocal last
        last = origin(image, commit, await papers.provenances(image.reference))
        return last[0] == NAMED

    try:
        if not await known() and image.built:
            await until(known, limit_s=min(wait_s, WRITTEN_S), pause_s=FIRST_POLL_S, longest_s=LONGEST_POLL_S)
    except GoogleError as error:
        return f"where it comes from cannot be asked for: {explain(error).said}", None
    except TimeoutError:
        pass
    return last


def origin(image: Image, commit: str, found: Iterable[Provenance]) -> tuple[str, Provenance | None]:
    """NAMED with the provenance that names the image's digest and our source; else why there is none. Pure.

    Ours is the commit that is released, or the very archive that the image is built of: the same content may have been
    built for an earlier commit. Of an image that is built elsewhere only the digest can be ours.
    """
    about = [each for each in found if image.digest in each.subjects]
    if not about:
        return "nobody has noted where it comes from", None
    for each in about:
        commits = {*each.commits, each.substitutions.get("COMMIT_SHA", "")}
        if not image.source or commit in commits or image.source in each.sources:
            return NAMED, each
    first = about[0]
    said = ", ".join(sorted({*first.commits, *first.sources})) or "no source"
    return f"its provenance names {said}, and neither commit {commit[:12]} nor {image.source}", first


async def _bill(image: Image, wait_s: float) -> tuple[Bill | None, str]:
    """One that is there already is taken, whoever made it."""
    found: Bill | None = None
    scanned = image.reference

    async def there() -> bool:
        nonlocal found
        known, digest = await papers.bills(scanned), scanned.partition("@")[2]
        found = next((each for each in known if digest in each.subjects and each.sha256), None)
        return found is not None

    try:
        scanned = await as_scanned(image.reference)
        if not await there():
            await papers.export_bill(scanned)
            await until(there, limit_s=max(wait_s, FIRST_POLL_S), pause_s=FIRST_POLL_S, longest_s=LONGEST_POLL_S)
    except GoogleError as error:
        return None, f"its bill of materials cannot be had: {explain(error).said}"
    except TimeoutError:
        return None, f"its bill of materials was not there after {wait_s:g} s"
    return found, ""


def problems(found: Mapping[str, Papers], rules: Scan) -> Iterator[str]:
    """The images that are not let through, and why."""
    for reference, each in found.items():
        if rules.provenance == "require" and each.provenance != NAMED:
            yield f"- {reference} is unknown: {each.provenance}"
        if rules.sbom == "require" and each.bill is None:
            yield f"- {reference} is unknown: {each.without}"


def tell(found: Mapping[str, Papers]) -> None:
    """In the log: what there is, and what is missing."""
    logger = get_run_logger()
    for reference, each in found.items():
        if each.provenance == NAMED and each.by:
            logger.info("%s was built by %s: %s", reference, each.by.builder, each.by.build)
        elif each.provenance:
            logger.warning("%s is of unknown origin: %s", reference, each.provenance)
        if each.bill:
            logger.info("%s: bill of materials %s (sha256 %s)", reference, each.bill.location, each.bill.sha256)
        elif each.without:
            logger.warning("%s: %s", reference, each.without)
