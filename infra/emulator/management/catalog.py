"""The price list of Cloud Billing's catalog: Cloud Run's SKUs, as Google writes them, at prices that can be changed.

https://cloud.google.com/billing/docs/reference/rest/v1/services.skus. Descriptions are Google's to the letter, with
their double blanks and "in in": who reads the list has to cope with them. Prices are those that Google published for
Tier 1 and Tier 2 regions (https://cloud.google.com/run/pricing), in US dollars; `PUT /prices` of the admin port changes
them. https://cloud.google.com/run/docs/locations#region-tiers
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from google.cloud import billing_v1
from pydantic import Field, TypeAdapter

from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import invalid, not_found
from infra.emulator.kernel.handlers import Call, rpc
from infra.emulator.projects.locations import REGIONS

API = "google.cloud.billing.v1.CloudCatalog"
RUN = "services/152E-C115-5142"
NANO = 1_000_000_000
LARGEST_PAGE = 5000
SkuPb: Any = billing_v1.Sku.pb()
ServicePb: Any = billing_v1.Service.pb()
SkusPb: Any = billing_v1.ListSkusResponse.pb()
ServicesPb: Any = billing_v1.ListServicesResponse.pb()
PRICES = TypeAdapter(dict[str, Annotated[float, Field(ge=0)]])
TIER_2 = frozenset(
    {
        "africa-south1", "asia-east2", "asia-northeast3", "asia-southeast1", "asia-southeast2", "asia-south2",
        "australia-southeast1", "australia-southeast2", "europe-central2", "europe-west10", "europe-west12",
        "europe-west2", "europe-west3", "europe-west6", "me-central1", "me-central2", "northamerica-northeast1",
        "northamerica-northeast2", "southamerica-east1", "southamerica-west1", "us-west2", "us-west3", "us-west4",
    }
)  # fmt: skip
# What one US dollar is worth, as of some day; Google tells it with each price.
CURRENCIES = {"USD": 1.0, "EUR": 0.86, "GBP": 0.75, "CHF": 0.8, "JPY": 150.0}


@dataclass(frozen=True)
class Family:
    """SKUs that differ in what they measure and in where they hold; prices in US dollars for a unit, by tier."""

    text: str  # with {} for CPU or Memory
    cpu: tuple[float, float]
    memory: tuple[float, float]
    by_region: bool  # one SKU a region; else one a tier


FAMILIES = (
    Family("Services {}{} (Request-based billing)", (2.4e-5, 3.36e-5), (2.5e-6, 3.5e-6), by_region=False),
    Family("Services Min Instance {}{} (Request-based billing)", (2.5e-6, 3.5e-6), (2.5e-6, 3.5e-6), by_region=False),
    Family("Services {} (Instance-based billing) in {}", (1.8e-5, 2.52e-5), (2e-6, 2.8e-6), by_region=True),
    Family("Jobs {} in {}", (1.8e-5, 2.52e-5), (2e-6, 2.8e-6), by_region=True),
    Family("Worker Pools {} in {}", (1.1244e-5, 1.574e-5), (1.235e-6, 1.729e-6), by_region=True),
)
REQUEST = ("Requests", 4e-7)
FREE = {"s": 180_000.0, "GiBy.s": 360_000.0, "count": 2_000_000.0}  # a month, of each billing account
# Where Google's own descriptions are not of one piece.
ODD = {
    "Services CPU Tier 2 (Request-based billing)": "Services CPU Tier 2  (Request-based billing)",
    "Services CPU (Instance-based billing) in asia-northeast1": "Services CPU (Instance-based billing) in in "
    "asia-northeast1",
}


class Prices:
    """Changed prices by description, in US dollars; what is not among them costs what Google asks for it."""

    def __init__(self, cloud: Cloud) -> None:
        self._table = cloud.store.values("prices")
        cloud.told["/prices"] = self

    def show(self) -> dict[str, float]:
        return {name: self._table.get(name) or 0.0 for name in self._table.names()}

    def take(self, body: bytes) -> None:
        """Raises ValueError for what is no price list, or names a SKU that there is not."""
        wanted = PRICES.validate_json(body)
        if unknown := wanted.keys() - {sku.description for sku in skus({}, "USD")}:
            raise ValueError(f"there is no SKU {sorted(unknown)[0]!r}")
        self._table.clear("")
        for name, price in wanted.items():
            self._table.put(name, price)


class Catalog:
    def __init__(self, cloud: Cloud) -> None:
        self._prices = cloud.get(Prices)

    @rpc(f"{API}/ListServices", resource="")
    async def services(self, _: Any, __: Call) -> Any:
        service = ServicePb(
            name=RUN,
            service_id=RUN.removeprefix("services/"),
            display_name="Cloud Run",
            business_entity_name="businessEntities/GCP",
        )
        return ServicesPb(services=[service])

    @rpc(f"{API}/ListSkus", resource="")
    async def skus(self, request: Any, _: Call) -> Any:
        if request.parent != RUN:
            raise not_found()
        currency = request.currency_code or "USD"
        if currency not in CURRENCIES:
            raise invalid(f"Invalid currency code: {currency}", "currency_code")
        if not (request.page_token or "0").isdecimal():
            raise invalid("Invalid page token.", "page_token")
        found = list(skus(self._prices.show(), currency))
        start, size = int(request.page_token or 0), min(request.page_size or LARGEST_PAGE, LARGEST_PAGE)
        token = str(start + size) if start + size < len(found) else ""
        return SkusPb(skus=found[start : start + size], next_page_token=token)


def skus(changed: Mapping[str, float], currency: str) -> Iterator[Any]:
    """Every SKU of Cloud Run; `changed` as in `Prices`."""
    for family in FAMILIES:
        for what, unit, prices in (("CPU", "s", family.cpu), ("Memory", "GiBy.s", family.memory)):
            for text, regions, price in _of(family, what, prices):
                name = ODD.get(text, text)
                yield _sku(name, regions, unit, changed.get(name, price), currency)
    name, price = REQUEST
    yield _sku(name, ("global",), "count", changed.get(name, price), currency)


def _of(family: Family, what: str, prices: tuple[float, float]) -> Iterator[tuple[str, tuple[str, ...], float]]:
    if family.by_region:
        yield from ((family.text.format(what, region), (region,), prices[region in TIER_2]) for region in REGIONS)
        return
    for tier, name in enumerate(("", " Tier 2")):
        regions = tuple(region for region in REGIONS if (region in TIER_2) == bool(tier))
        yield family.text.format(what, name), regions, prices[tier]


def _sku(description: str, regions: tuple[str, ...], unit: str, dollars: float, currency: str) -> Any:
    number = zlib.crc32(description.encode())
    sku_id = f"{number >> 16:04X}-{number & 0xFFFF:04X}-{len(description):04X}"
    free = {"start_usage_amount": 0.0, "unit_price": {"currency_code": currency}}
    paid = {
        "start_usage_amount": FREE[unit],
        "unit_price": {"currency_code": currency, **_money(dollars * CURRENCIES[currency])},
    }
    return SkuPb(
        name=f"{RUN}/skus/{sku_id}",
        sku_id=sku_id,
        description=description,
        category={
            "service_display_name": "Cloud Run",
            "resource_family": "ApplicationServices",
            "resource_group": "Compute",
            "usage_type": "OnDemand",
        },
        service_regions=regions,
        pricing_info=[
            {
                "pricing_expression": {
                    "usage_unit": unit,
                    "base_unit": {"GiBy.s": "By.s"}.get(unit, unit),
                    "base_unit_conversion_factor": {"GiBy.s": float(1 << 30)}.get(unit, 1.0),
                    "display_quantity": 1.0,
                    "tiered_rates": [free, paid],
                },
                "currency_conversion_rate": CURRENCIES[currency],
            }
        ],
        service_provider_name="Google",
    )


def _money(amount: float) -> dict[str, int]:
    nanos = round(amount * NANO)
    return {"units": nanos // NANO, "nanos": math.floor(nanos % NANO)}
