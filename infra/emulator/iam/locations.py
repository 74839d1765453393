"""Which values of gcp.resourceLocations mean a place: itself, and the groups that it is in.

https://cloud.google.com/resource-manager/docs/organization-policy/defining-locations
"""

from __future__ import annotations

# Groups by place in the world; those by other marks, such as low-carbon-locations, are left out.
_EU = (
    "europe-central2 europe-north1 europe-north2 europe-southwest1 europe-west1 europe-west3 europe-west4 europe-west8 "
    "europe-west9 europe-west10 europe-west12"
)
GROUPS = {
    group: frozenset(members.split())
    for group, members in {
        "africa": "africa-south1",
        "asia": "asia asia-east1 asia-east2 asia-northeast1 asia-northeast2 asia-northeast3 asia-south1 asia-south2 "
        "asia-southeast1 asia-southeast2 asia-southeast3",
        "australia": "australia-southeast1 australia-southeast2",
        "canada": "northamerica-northeast1 northamerica-northeast2",
        "eu": f"eu europe {_EU}",
        "europe": f"eu europe {_EU} europe-west2 europe-west6",
        "germany": "europe-west3 europe-west10",
        "india": "asia-south1 asia-south2",
        "southamerica": "southamerica-east1 southamerica-west1",
        "us": "us us-central1 us-east1 us-east4 us-east5 us-south1 us-west1 us-west2 us-west3 us-west4",
    }.items()
}


def names_of(location: str) -> frozenset[str]:
    """All values that mean this location: `europe-west2` is in `in:europe-locations` and not in `in:eu-locations`."""
    name = location.lower()
    groups = {group for group, members in GROUPS.items() if name in members}
    own = {name, location, f"is:{name}", f"is:{location}", f"in:{name}-locations"}
    return frozenset(own | {f"in:{group}-locations" for group in groups})
