"""Which values of gcp.resourceLocations mean a region."""

from __future__ import annotations

import pytest

from infra.emulator.iam.locations import GROUPS, names_of
from infra.emulator.projects.locations import REGIONS


@pytest.mark.parametrize(
    ("location", "value", "expected"),
    [
        ("europe-west1", "in:eu-locations", True),
        ("europe-west2", "in:eu-locations", False),
        ("europe-west6", "in:eu-locations", False),
        ("europe-west2", "in:europe-locations", True),
        ("europe-west3", "in:germany-locations", True),
        ("europe-west1", "in:europe-west1-locations", True),
        ("europe-west1", "in:europe-west10-locations", False),
        ("europe-west1", "is:europe-west1", True),
        ("europe-west1", "europe-west1", True),
        ("EU", "in:eu-locations", True),
        ("us-central1", "in:us-locations", True),
        ("northamerica-northeast1", "in:us-locations", False),
        ("asia-south1", "in:india-locations", True),
        ("australia-southeast1", "in:asia-locations", False),
    ],
)
def test_a_region_is_in_googles_groups_and_not_in_those_that_begin_alike(
    location: str, value: str, expected: bool
) -> None:
    assert (value in names_of(location)) is expected


def test_every_member_of_a_group_is_a_place() -> None:
    places = {*REGIONS, "eu", "us", "asia", "europe"}
    assert set().union(*GROUPS.values()) <= places
