"""What lock files name is asked about before anything is built of them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from prefect.logging import get_run_logger

from infra.gcp.artifacts.findings import Findings
from tasks.builds.ignore import own_file, source_files
from tasks.failures.cause import Cause
from tasks.failures.errors import Vulnerable
from tasks.history.ledger import Ledger
from tasks.history.scan_record import ScanRecord
from tasks.manifest.scan import Scan
from tasks.model import Request
from tasks.orchestration.gather import all_of
from tasks.orchestration.step import step
from tasks.supply_chain.gate import Looked, problems, show
from tasks.supply_chain.locks import Locked, Unreadable, packages, reader
from tasks.supply_chain.osv import OsvError, vulnerabilities
from tasks.supply_chain.verdict import FINISHED, Found, Judged, judge

LIMIT_S = 300.0
LARGEST_BYTES = 64 << 20  # of a lock file; more is none


async def audit_sources(request: Request, ledger: Ledger) -> None:
    """Raises Vulnerable for lock files that name what the environment's `scan` does not let through, unless somebody
    overrides it.
    """
    rules = request.settings.scan
    if rules is None or rules.audit is None or not request.built:
        return
    looked = await look_at_locks(request, rules)
    ledger.audited([_record(path, each) for path, each in looked.items()])
    if not looked:
        get_run_logger().warning("nothing that is built here has a lock file that can be read: nobody was asked")
        return
    await show(request, looked, rules, "lock-files", "Named by the lock files")
    refused = list(problems(looked, rules))
    override, text = ledger.release.override, "\n".join(refused)
    if refused and override is None:
        raise Vulnerable(
            f"{request.environment} does not take what {len(refused)} of {len(looked)} lock files name:\n{text}",
            cause=Cause.OTHER,
            state="No build was started and nothing was deployed.",
        )
    if refused:
        get_run_logger().warning("%s\nOverridden by %s", text, override)


@step("ask about what lock files name", attempts=2, timeout_s=LIMIT_S, state="No build was started.")
async def look_at_locks(request: Request, rules: Scan) -> dict[str, Looked]:
    """By path in the repository. What cannot be asked about is UNKNOWN."""
    found = await asyncio.to_thread(read_locks, request)
    looked = await all_of([_look(each, rules) for each in found.values()])
    return dict(zip(found, looked, strict=True))


def read_locks(request: Request) -> dict[str, frozenset[Locked] | Unreadable]:
    """By path in the repository, what those lock files name that go into a build."""
    found: dict[str, frozenset[Locked] | Unreadable] = {}
    for name in request.built:
        part = request.part(name)
        folder = request.folder / str(part.source)
        own = own_file(request.folder, folder, part.dockerfile)
        for file in source_files(folder, part.dockerfile, own):
            path = folder / file
            if reader(file) is None or not path.is_file() or path.stat().st_size > LARGEST_BYTES:
                continue
            shown = str(path.resolve().relative_to(request.folder.resolve()))
            try:
                found[shown] = packages(file, path.read_text(encoding="utf-8"))
            except (Unreadable, UnicodeDecodeError) as error:
                found[shown] = Unreadable(str(error))
    return found


async def _look(found: frozenset[Locked] | Unreadable, rules: Scan) -> Looked:
    assert rules.audit
    if isinstance(found, Unreadable):
        return Looked(Findings(""), Judged(Found.UNKNOWN, str(found)))
    try:
        known = await vulnerabilities(rules.audit.osv, found, {each.id for each in rules.ignore})
    except OsvError as error:
        return Looked(Findings(""), Judged(Found.UNKNOWN, str(error)))
    now = datetime.now(UTC)
    findings = Findings(FINISHED, scanned=now, vulnerabilities=known)
    return Looked(findings, judge(findings, rules, now))


def _record(path: str, looked: Looked) -> ScanRecord:
    judged, now = looked.judged, datetime.now(UTC)
    ignored = tuple(dict.fromkeys(each.id for each in judged.findings if each.excepted))
    return ScanRecord(image=path, verdict=judged.verdict, reason=judged.reason, ignored=ignored, when=now)
