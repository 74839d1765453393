"""Which answers a probe accepts."""

from __future__ import annotations

import pytest

from tasks.analysis.probes import wrong_with
from tasks.manifest.settings import Health


@pytest.mark.parametrize(
    ("status", "body", "settings", "accepted"),
    [
        (200, "", {}, True),
        (204, "", {}, True),
        (301, "", {}, False),
        (301, "", {"status": (301,)}, True),
        (500, "ok", {"body": "ok"}, False),
        (200, "all ok here", {"body": "ok"}, True),
        (200, "starting", {"body": "ok"}, False),
    ],
)
def test_an_answer_counts_by_its_status_and_body(
    status: int, body: str, settings: dict[str, object], accepted: bool
) -> None:
    assert (wrong_with(status, body, Health(**settings)) == "") is accepted
