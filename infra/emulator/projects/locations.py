"""google.cloud.location.Locations: where resources can be, the same for every API."""

from __future__ import annotations

from google.cloud.location import locations_pb2
from google.rpc.code_pb2 import Code

from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import RpcError, error_info
from infra.emulator.kernel.handlers import Call, rpc

# https://cloud.google.com/run/docs/locations
REGIONS = (
    "africa-south1", "asia-east1", "asia-east2", "asia-northeast1", "asia-northeast2", "asia-northeast3",
    "asia-south1", "asia-south2", "asia-southeast1", "asia-southeast2", "asia-southeast3",
    "australia-southeast1", "australia-southeast2", "europe-central2", "europe-north1", "europe-north2",
    "europe-southwest1", "europe-west1", "europe-west10", "europe-west12", "europe-west2", "europe-west3",
    "europe-west4", "europe-west6", "europe-west8", "europe-west9", "me-central1", "me-central2", "me-west1",
    "northamerica-northeast1", "northamerica-northeast2", "northamerica-south1", "southamerica-east1",
    "southamerica-west1", "us-central1", "us-east1", "us-east4", "us-east5", "us-south1", "us-west1", "us-west2",
    "us-west3", "us-west4",
)  # fmt: skip
MULTI_REGIONS = ("asia", "europe", "us")
LOCATIONS = tuple(sorted(REGIONS + MULTI_REGIONS))
BETA = (("GET", "/v1beta2/{name=projects/*}/locations", ""), ("GET", "/v1/{name=projects/*}/locations", ""))
ONE_BETA = (("GET", "/v1beta2/{name=projects/*/locations/*}", ""),)


def check_location(parent: str) -> None:
    """Raises what Google answers for projects/p/locations/l if there is no such place."""
    location = parent.rpartition("/")[2]
    if location not in LOCATIONS:
        raise RpcError(
            Code.PERMISSION_DENIED,
            f"Location {location} is not found or access is unauthorized.",
            error_info("LOCATION_POLICY_VIOLATED", "googleapis.com", location=location),
        )


class Locations:
    def __init__(self, _: Cloud) -> None: ...

    @rpc("google.cloud.location.Locations/ListLocations", rest=BETA)
    async def list(self, request: locations_pb2.ListLocationsRequest, _: Call) -> locations_pb2.ListLocationsResponse:
        locations = [_location(f"{request.name}/locations/{location}") for location in LOCATIONS]
        return locations_pb2.ListLocationsResponse(locations=locations)

    @rpc("google.cloud.location.Locations/GetLocation", rest=ONE_BETA)
    async def get(self, request: locations_pb2.GetLocationRequest, _: Call) -> locations_pb2.Location:
        check_location(request.name)
        return _location(request.name)


def _location(name: str) -> locations_pb2.Location:
    location_id = name.rpartition("/")[2]
    return locations_pb2.Location(
        name=name, location_id=location_id, labels={"cloud.googleapis.com/region": location_id}
    )
