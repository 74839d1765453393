"""Cloud Billing's price list: what Google asks for what, by region."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from google.cloud import billing_v1

from infra.gcp.calls.clients import client
from infra.gcp.calls.paging import each

RUN = "services/152E-C115-5142"  # Cloud Run, the same for everybody
PAGE_SIZE = 5000  # the most: https://cloud.google.com/billing/docs/reference/rest/v1/services.skus/list
NANO = 1e-9


@dataclass(frozen=True, slots=True)
class Sku:
    """Something that has a price. `price` is for one `unit`, once nothing is free any more."""

    description: str
    regions: tuple[str, ...]  # where it holds; "global" is everywhere
    unit: str  # s, GiBy.s, count … of UCUM, as Google writes it
    price: float
    currency: str


async def list_skus(service: str, currency: str) -> list[Sku]:
    """service: `RUN`; currency: of ISO 4217. Anybody who has a project with the Cloud Billing API may ask."""
    method = client(billing_v1.CloudCatalogAsyncClient).list_skus
    request = {"parent": service, "currency_code": currency, "page_size": PAGE_SIZE}
    found = [sku_of(one) async for one in each("cloudbilling.services.skus.list", method, request, "skus")]
    return [sku for sku in found if sku is not None]


def sku_of(found: Any) -> Sku | None:
    """None for what is not priced as it is used: commitments, and what has no price now."""
    if found.category.usage_type not in ("", "OnDemand") or not found.pricing_info:
        return None
    expression = found.pricing_info[-1].pricing_expression  # the newest comes last
    paid = _beyond_free(expression.tiered_rates)
    if paid is None:
        return None
    return Sku(
        " ".join(found.description.split()),
        tuple(found.service_regions),
        expression.usage_unit,
        paid.unit_price.units + paid.unit_price.nanos * NANO,
        paid.unit_price.currency_code,
    )


def _beyond_free(rates: Iterable[Any]) -> Any | None:
    """The first tier that costs anything; where none does, the last."""
    found = sorted(rates, key=lambda rate: float(rate.start_usage_amount))
    dear = (rate for rate in found if rate.unit_price.units or rate.unit_price.nanos)
    return next(dear, found[-1] if found else None)
