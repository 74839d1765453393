"""What the value grammar of gcp.resourceLocations means for a region."""

from __future__ import annotations

import pytest

from infra.gcp.project import Constraint
from tasks.preflight.locations import Admission, admission

ADMITTED, REFUSED, UNKNOWN = Admission


def policy(allowed: str = "", denied: str = "", **switches: bool) -> Constraint:
    return Constraint(frozenset(allowed.split()), frozenset(denied.split()), **switches)


@pytest.mark.parametrize(
    ("region", "allowed", "expected"),
    [
        pytest.param("europe-west1", "europe-west1", ADMITTED, id="itself"),
        pytest.param("europe-west1", "is:europe-west1", ADMITTED, id="itself-said-exactly"),
        pytest.param("europe-west1", "in:europe-west1-locations", ADMITTED, id="its-own-group"),
        pytest.param("europe-west1", "europe-west1-locations", ADMITTED, id="a-group-without-its-prefix"),
        pytest.param("europe-west10", "europe-west1", REFUSED, id="not-a-longer-name"),
        pytest.param("europe-west10", "in:europe-west1-locations", REFUSED, id="not-the-group-of-a-shorter-name"),
        pytest.param("europe-west1", "europe", REFUSED, id="a-multi-region-is-itself-alone"),
        pytest.param("europe-west1", "europe-west1-b", REFUSED, id="a-zone-is-less-than-its-region"),
        pytest.param("europe-west1", "in:europe-west1-b-locations", REFUSED, id="the-group-of-a-zone"),
        pytest.param("europe-west1", "is:in:eu-locations", REFUSED, id="no-group-after-is"),
        pytest.param("europe-west3", "in:germany-locations", ADMITTED, id="germany-frankfurt"),
        pytest.param("europe-west10", "in:germany-locations", ADMITTED, id="germany-berlin"),
        pytest.param("europe-west1", "in:germany-locations", REFUSED, id="belgium-is-not-germany"),
        pytest.param("europe-west1", "in:eu-locations", ADMITTED, id="the-union"),
        pytest.param("europe-west2", "in:eu-locations", REFUSED, id="london-is-not-in-the-union"),
        pytest.param("europe-west6", "in:eu-locations", REFUSED, id="nor-is-zurich"),
        pytest.param("europe-west2", "in:europe-locations", ADMITTED, id="london-is-in-europe"),
        pytest.param("northamerica-northeast1", "in:canada-locations", ADMITTED, id="canada"),
        pytest.param("us-central1", "in:canada-locations", REFUSED, id="iowa-is-not-canada"),
        pytest.param("us-central1", "in:US-locations", ADMITTED, id="whatever-the-case"),
        pytest.param("us-central1", "in:asia-locations in:us-locations", ADMITTED, id="any-of-several"),
        pytest.param("europe-west8", "in:italy-locations", UNKNOWN, id="a-group-that-is-not-known"),
        pytest.param("europe-north1", "in:europe-low-carbon-locations", UNKNOWN, id="a-group-that-changes"),
        pytest.param("europe-west99", "in:eu-locations", UNKNOWN, id="a-region-that-is-not-known"),
        pytest.param("europe-west99", "in:europe-west99-locations", ADMITTED, id="a-new-region-by-its-name"),
        pytest.param("europe-west1", "in:italy-locations europe-west1", ADMITTED, id="known-beats-unknown"),
    ],
)
def test_what_is_allowed(region: str, allowed: str, expected: Admission) -> None:
    assert admission(region, policy(allowed)).admission is expected


@pytest.mark.parametrize(
    ("made", "expected", "values"),
    [
        pytest.param(None, ADMITTED, (), id="no-policy"),
        pytest.param(policy(), ADMITTED, (), id="nothing-said"),
        pytest.param(policy(deny_all=True), REFUSED, (), id="everything-denied"),
        pytest.param(policy(allow_all=True), ADMITTED, (), id="everything-allowed"),
        pytest.param(policy(denied="in:us-locations"), ADMITTED, (), id="another-denied"),
        pytest.param(policy(denied="in:eu-locations"), REFUSED, ("in:eu-locations",), id="denied"),
        pytest.param(policy("europe-west3", "in:eu-locations"), REFUSED, ("in:eu-locations",), id="denied-and-allowed"),
        pytest.param(policy(denied="europe-west3", allow_all=True), REFUSED, ("europe-west3",), id="all-but-denied"),
        pytest.param(policy("europe-west3", "in:x-locations"), UNKNOWN, ("in:x-locations",), id="perhaps-denied"),
        pytest.param(policy("us-west1 asia-east1"), REFUSED, ("asia-east1", "us-west1"), id="only-others-allowed"),
    ],
)
def test_what_is_denied_beats_what_is_allowed(
    made: Constraint | None, expected: Admission, values: tuple[str, ...]
) -> None:
    verdict = admission("europe-west3", made)
    assert (verdict.admission, verdict.values) == (expected, values)
