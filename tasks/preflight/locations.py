"""What the organisation policy gcp.resourceLocations says of a region. Pure.

Its values are groups (`in:eu-locations`, and for each region its own: `in:europe-west1-locations`) and single locations
(`europe-west1`, `is:europe-west1`): multi-regions, regions or zones, of which each means itself alone.
https://cloud.google.com/resource-manager/docs/organization-policy/defining-locations
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from infra.gcp.project import Constraint

# Value groups that are named after a part of the world, and the regions of Cloud Run that stand there
# (https://cloud.google.com/run/docs/locations). Groups that go by something else, such as low-carbon ones, are left
# out: Google answers for those, and for a region that is newer than this table.
_EU = (
    "europe-central2 europe-north1 europe-north2 europe-southwest1 europe-west1 europe-west3 europe-west4 europe-west8 "
    "europe-west9 europe-west10 europe-west12"
)
_GROUPS = {
    group: frozenset(regions.split())
    for group, regions in {
        "asia": "asia-east1 asia-east2 asia-northeast1 asia-northeast2 asia-northeast3 asia-south1 asia-south2 "
        "asia-southeast1 asia-southeast2 asia-southeast3",
        "australia": "australia-southeast1 australia-southeast2",
        "canada": "northamerica-northeast1 northamerica-northeast2",
        "eu": _EU,
        "europe": f"{_EU} europe-west2 europe-west6",
        "germany": "europe-west3 europe-west10",
        "india": "asia-south1 asia-south2",
        "southamerica": "southamerica-east1 southamerica-west1",
        "us": "us-central1 us-east1 us-east4 us-east5 us-south1 us-west1 us-west2 us-west3 us-west4",
    }.items()
}
_KNOWN_REGIONS = frozenset().union(*_GROUPS.values())
_REGION_OR_ZONE = re.compile(r"[a-z]+-[a-z]+[0-9]+(-[a-z])?")


class Admission(StrEnum):
    ADMITTED = "admitted"
    REFUSED = "refused"
    UNKNOWN = "unknown"  # it hangs on a value that is not known here


@dataclass(frozen=True, slots=True)
class LocationRuling:
    """Whether resources may be created in the region, and which values of the policy decide it."""

    admission: Admission
    values: tuple[str, ...] = ()


def admission(region: str, policy: Constraint | None) -> LocationRuling:
    """What the project's effective policy says of a region. What it denies is denied whatever it allows besides."""
    if policy is None:
        return LocationRuling(Admission.ADMITTED)
    if policy.deny_all:
        return LocationRuling(Admission.REFUSED)
    denied, perhaps_denied = _matching(region, policy.denied)
    if denied:
        return LocationRuling(Admission.REFUSED, denied)
    if perhaps_denied:
        return LocationRuling(Admission.UNKNOWN, perhaps_denied)
    if policy.allow_all or not policy.allowed:
        return LocationRuling(Admission.ADMITTED)
    allowed, perhaps_allowed = _matching(region, policy.allowed)
    if allowed:
        return LocationRuling(Admission.ADMITTED, allowed)
    if perhaps_allowed:
        return LocationRuling(Admission.UNKNOWN, perhaps_allowed)
    return LocationRuling(Admission.REFUSED, tuple(sorted(policy.allowed)))


def _matching(region: str, values: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The values that cover the region, and those that may."""
    covers = {value: _covers(value, region) for value in sorted(values)}
    return tuple(v for v, yes in covers.items() if yes), tuple(v for v, yes in covers.items() if yes is None)


def _covers(value: str, region: str) -> bool | None:
    """None where this table cannot tell."""
    name = value.lower()
    if name.startswith("is:") or not (name.startswith("in:") or name.endswith("-locations")):
        return name.removeprefix("is:") == region
    group = name.removeprefix("in:").removesuffix("-locations")
    if group == region:
        return True
    if group in _GROUPS and region in _KNOWN_REGIONS:
        return region in _GROUPS[group]
    return False if _REGION_OR_ZONE.fullmatch(group) else None
