"""Cloud Run's price list, as far as an estimate needs it, found among Google's SKUs by what they are called. Pure.

Only the descriptions tell what a SKU is for; they differ in blanks, in "Tier 2" and in naming their region or not.
https://cloud.google.com/run/pricing
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from infra.gcp.billing import Sku

EVERYWHERE = "global"
REQUESTS = "Requests"
CPU, MEMORY = "CPU", "Memory"
# Seconds, or seconds of a GiB, in a unit of the list: https://ucum.org/ucum
_UNITS = {
    CPU: {"s": 1.0, "min": 60.0, "h": 3600.0},
    MEMORY: {"GiBy.s": 1.0, "GiBy.min": 60.0, "GiBy.h": 3600.0, "GBy.s": 1e9 / 2**30, "GBy.h": 3600e9 / 2**30},
    REQUESTS: {"count": 1.0},
}
_REGION = re.compile(r"( in)+ [a-z]+-[a-z]+[0-9]+$")
_TIER = re.compile(r" Tier [0-9]+")
_FAMILY = re.compile(f"(?P<family>.+?) (?P<what>{CPU}|{MEMORY})(?P<rest>.*)")


class Use(StrEnum):
    """What an instance is paid as; the words are Google's, without what is measured."""

    BUSY = "Services (Request-based billing)"  # while it answers requests, starts or stops
    KEPT = "Services Min Instance (Request-based billing)"  # while it is kept running and has nothing to do
    ALIVE = "Services (Instance-based billing)"  # from its start to its end
    JOB = "Jobs"
    POOL = "Worker Pools"


@dataclass(frozen=True, slots=True)
class Rate:
    """For a second of one CPU, and of one GiB."""

    cpu: float
    gib: float


@dataclass(frozen=True, slots=True)
class PriceList:
    """Before free tiers and discounts."""

    rates: Mapping[tuple[Use, str], Rate]  # by region
    request: float | None  # for one
    currency: str

    def rate(self, use: Use, region: str) -> Rate | None:
        """None where the list does not tell."""
        return self.rates.get((use, region))


def price_list(skus: Iterable[Sku], currency: str) -> PriceList:
    """Of several prices for the same thing in a region the highest: an estimate is rather too high than too low."""
    found: dict[tuple[Use, str, str], float] = {}
    request: float | None = None
    for sku in skus:
        name = plain(sku.description)
        if name == REQUESTS and sku.unit in _UNITS[REQUESTS]:
            request = max(request or 0.0, sku.price)
            continue
        use, what = _meaning(name)
        if use is None or sku.unit not in _UNITS[what]:
            continue
        price = sku.price / _UNITS[what][sku.unit]
        for region in sku.regions:
            found[use, what, region] = max(found.get((use, what, region), 0.0), price)
    whole = {(use, region) for use, what, region in found if what == CPU and (use, MEMORY, region) in found}
    rates = {(use, region): Rate(found[use, CPU, region], found[use, MEMORY, region]) for use, region in whole}
    return PriceList(rates, request, currency)


def plain(description: str) -> str:
    """Without tier, region and blanks too many: what two SKUs that differ in nothing else have in common."""
    return " ".join(_REGION.sub("", _TIER.sub("", " ".join(description.split()))).split())


def _meaning(name: str) -> tuple[Use | None, str]:
    """What is paid for, and whether CPU or memory of it; None for what no estimate needs."""
    found = _FAMILY.fullmatch(name)
    if found is None:
        return None, ""
    try:
        return Use(f"{found['family']}{found['rest']}"), found["what"]
    except ValueError:
        return None, ""
