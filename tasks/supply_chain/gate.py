"""Asks Google's scanner about images, waits for it, and keeps what has vulnerabilities from being deployed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from prefect.logging import get_run_logger

from infra.gcp.artifacts.findings import Findings, findings
from infra.gcp.artifacts.registries import as_scanned
from infra.gcp.calls.errors import GoogleError
from infra.gcp.calls.polling import until
from tasks.failures.cause import Cause
from tasks.failures.errors import NOT_DEPLOYED, NOT_MOVED, Vulnerable
from tasks.failures.explain import explain
from tasks.history.ledger import Ledger
from tasks.history.scan_record import ScanRecord
from tasks.manifest.scan import Scan
from tasks.model import Image, Request
from tasks.orchestration.artifacts import table
from tasks.orchestration.gather import all_of
from tasks.orchestration.step import step
from tasks.supply_chain import papers
from tasks.supply_chain.papers import Papers
from tasks.supply_chain.verdict import Found, Judged, judge

FIRST_POLL_S, LONGEST_POLL_S = 1.0, 15.0
LONGEST_S = 3700.0  # an hour is the most that slipway.yaml can ask to wait
NOT_ASKED = "its scan cannot be asked for"
UNTOLD = (
    "start the run again when its scan has ended, build the image anew where that has failed, or let what nobody can "
    "tell pass by `scan.unknown: warn` of the environment."
)


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found in an image, and what that means."""

    found: Findings
    judged: Judged


async def refuse_vulnerable(request: Request, images: Sequence[Image], ledger: Ledger, *, again: bool = False) -> None:
    """Raises Vulnerable for what the environment's `scan` does not let through, unless somebody overrides it.

    again: right before traffic, when an image is looked at a second time and no scan is waited for.
    """
    rules = request.settings.scan
    if rules is None:
        return
    looked = await _look_at_all(images, rules, 0.0 if again else rules.wait_s)
    found = {} if again else await papers.all_papers(images, rules, ledger.release.commit)
    before = {each.image: each for each in ledger.release.scans}
    await ledger.scanned([_record(name, each, found.get(name), before.get(name)) for name, each in looked.items()])
    await show(request, looked, rules)
    papers.tell(found)
    refused = [*problems(looked, rules), *papers.problems(found, rules)]
    if not refused:
        return
    override, text = ledger.release.override, "\n".join(refused)
    if override is None:
        raise Vulnerable(
            f"{request.environment} does not take what was found in {len(refused)} of {len(looked)} images:\n{text}",
            remedy(looked, rules),
            cause=Cause.OTHER,
            state=NOT_MOVED if again else NOT_DEPLOYED,
        )
    get_run_logger().warning("%s\nOverridden by %s", text, override)


async def warn_vulnerable(request: Request, images: Sequence[Image], ledger: Ledger) -> None:
    """The same of what a rollback has brought back, which is never refused for it, and never fails by it.

    Google refreshes what it has found for 30 days after the last push or pull: what is older is UNKNOWN.
    """
    rules = request.settings.scan
    if rules is None:
        return
    try:
        looked = await _look_at_all(images, rules, 0.0)
        await show(request, looked, rules)
        await ledger.scanned([_record(reference, each, None, None) for reference, each in looked.items()])
    except Exception as error:
        get_run_logger().warning("what is in the images cannot be told: %s", error)
        return
    for problem in problems(looked, rules):
        get_run_logger().warning("this serves again: %s", problem)


async def _look_at_all(images: Sequence[Image], rules: Scan, wait_s: float) -> dict[str, Looked]:
    """By reference; services that share an image have it looked at once."""
    references = list(dict.fromkeys(image.reference for image in images))
    found = await all_of([look(reference, rules, wait_s) for reference in references])
    return dict(zip(references, found, strict=True))


@step("look for vulnerabilities", run_name="look for vulnerabilities in {reference}", timeout_s=LONGEST_S)
async def look(reference: str, rules: Scan, wait_s: float) -> Looked:
    """Waits for a scan that is under way, or that has not begun. What cannot be asked for is UNKNOWN."""
    last, scanned = Looked(Findings(""), Judged(Found.UNKNOWN, NOT_ASKED, under_way=True)), reference

    async def tells() -> bool:
        nonlocal last, scanned
        found = await findings(scanned)
        if not found.status and scanned == reference and (scanned := await as_scanned(reference)) != reference:
            found = await findings(scanned)
        last = Looked(found, judge(found, rules, datetime.now(UTC)))
        return not last.judged.under_way

    try:
        if not await tells() and wait_s:
            get_run_logger().info("%s: %s; waiting for up to %g s", reference, last.judged.reason, wait_s)
            await until(tells, limit_s=wait_s, pause_s=FIRST_POLL_S, longest_s=LONGEST_POLL_S)
    except GoogleError as error:
        return Looked(Findings(""), Judged(Found.UNKNOWN, f"{NOT_ASKED}: {explain(error).said}"))
    except TimeoutError:
        return last
    return last


def problems(looked: Mapping[str, Looked], rules: Scan) -> Iterator[str]:
    """The images that are not let through, and why."""
    for reference, each in looked.items():
        refused = each.judged.verdict is Found.BLOCKED or (
            each.judged.verdict is Found.UNKNOWN and rules.unknown == "refuse"
        )
        if refused:
            yield f"- {reference} is {each.judged.verdict}: {each.judged.reason}"


def remedy(looked: Mapping[str, Looked], rules: Scan) -> str:
    """An exception helps against what was found, and not where nobody can tell; '' for the ordinary one."""
    verdicts = {each.judged.verdict for each in looked.values()}
    return UNTOLD if Found.UNKNOWN in verdicts and Found.BLOCKED not in verdicts and rules.unknown == "refuse" else ""


async def show(
    request: Request,
    looked: Mapping[str, Looked],
    rules: Scan,
    key: str = "vulnerabilities",
    what: str = "Found in the images",
) -> None:
    """The table, and in the log what nobody has asked for: expired exceptions, and those that nothing needs."""
    logger = get_run_logger()
    for reference, each in looked.items():
        level = logger.info if each.judged.verdict is Found.CLEAN else logger.warning
        level("%s is %s: %s", reference, each.judged.verdict, each.judged.reason)
    unneeded = [set(each.judged.unused) for each in looked.values() if each.judged.verdict is not Found.UNKNOWN]
    if len(unneeded) == len(looked) and unneeded:
        for name in sorted(set.intersection(*unneeded)):
            logger.warning("scan.ignore names %s, which nothing has any more", name)
    title = f"{what} of {request.app} for {request.environment}, from {rules.severity} on"
    await table(request, key, rows(looked), title)


def rows(looked: Mapping[str, Looked]) -> list[dict[str, str]]:
    """One for each finding, and one for each image without any."""
    found: list[dict[str, str]] = []
    for reference, each in looked.items():
        image = reference.rpartition("/")[2][:60]
        shown = {"image": image, "verdict": str(each.judged.verdict)}
        for one in each.judged.findings:
            issue = one.issue
            facts = {"package": f"{issue.package} {issue.version}", "severity": issue.severity.lower() or "not rated"}
            fix = issue.fixed_in or "no fix yet"
            counts = "yes" if one.counts else "no"
            found.append({**shown, "id": one.id, **facts, "fixed in": fix, "counts": counts, "why": one.why})
        if not each.judged.findings:
            empty = dict.fromkeys(("id", "package", "severity", "fixed in", "counts"), "")
            found.append({**shown, **empty, "why": each.judged.reason})
    return found


def _record(reference: str, looked: Looked, found: Papers | None, before: ScanRecord | None) -> ScanRecord:
    """found: None where its papers were looked at before."""
    ignored = (each.id for each in looked.judged.findings if each.excepted)
    known = before or ScanRecord(image=reference, verdict="", reason="", when=datetime.now(UTC))
    if found:
        known = known.model_copy(update=_told(found))
    judged = ScanRecord(
        image=reference,
        verdict=looked.judged.verdict,
        reason=looked.judged.reason,
        ignored=tuple(dict.fromkeys(ignored)),
        when=datetime.now(UTC),
        scanned=looked.found.scanned,
    )
    return known.model_copy(update=judged.model_dump(exclude_unset=True))


def _told(found: Papers) -> dict[str, str]:
    bill, by = found.bill, found.by
    told = {"provenance": found.provenance, "builder": by.builder if by else "", "build": by.build if by else ""}
    return told | ({"sbom": bill.location, "sbom_sha256": bill.sha256} if bill else {})
