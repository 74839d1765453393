"""What the release history says is needed: releases that one can go back to, and those that are under way. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from tasks.cleanup.engine.model import Use
from tasks.cleanup.kinds.images import References
from tasks.history.record import ReleaseRecord, State, good
from tasks.history.store import OPEN_AMONG
from tasks.model import Request


def protected_releases(history: Sequence[ReleaseRecord], keep: int) -> list[ReleaseRecord]:
    """The newest `keep` good releases, and all that may still be under way; `history` is newest first."""
    return [*good(history)[:keep], *(record for record in history[:OPEN_AMONG] if record.state is State.STARTED)]


def history_uses(
    request: Request, history: Sequence[ReleaseRecord], keep: int, references: References | None
) -> Iterable[Use]:
    """One use per protected release: its revisions and images; of one under way also what it would go back to."""
    for record in protected_releases(history, keep):
        under_way = record.state is State.STARTED
        revisions = [
            f"{request.run_service(target.place)}/revisions/{revision}"
            for target in record.targets
            for revision in (target.revision, target.serving if under_way else "")
            if revision
        ]
        pictures = {*record.images.values(), *(target.image for target in record.targets)} - {""}
        keys = references.keys(sorted(pictures)) if references else ()
        yield Use(_by(record), tuple(dict.fromkeys((*revisions, *keys))), live=False)


def _by(record: ReleaseRecord) -> str:
    doing = "a rollback may go back to it" if record.state is State.RELEASED else "not ended"
    return f"release {record.version} in {record.environment}: {doing}"


def service_floors(
    requests: Sequence[Request], histories: Mapping[str, Sequence[ReleaseRecord]]
) -> dict[tuple[str, str], int]:
    """How many services there must be in a (project, region): as many as the newest release made live there."""
    floors: Counter[tuple[str, str]] = Counter()
    for request in requests:
        newest = next((r for r in histories[request.environment] if r.state is State.RELEASED), None)
        if newest:
            live = (target for target in newest.targets if target.outcome == "live")
            floors.update((request.project, target.region) for target in live)
    return dict(floors)


def image_floor(prefix: str, histories: Mapping[str, Sequence[ReleaseRecord]]) -> int:
    """A repository that a good release's image is in is not empty."""
    records = (record for history in histories.values() for record in good(history))
    return int(any(image.startswith(prefix) for record in records for image in record.images.values()))
