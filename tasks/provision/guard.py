"""What a plan may do. Pure: a plan in, what is refused and what a person must agree to out.

Nothing that holds data is ever replaced, and nothing that is adopted: an import block may plan a replacement of what it
imports, where a provider does not read back what the module says.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from infra.terraform.plan import Change, Plan
from tasks.failures.errors import ParameterError
from tasks.manifest.provision import Provision
from tasks.provision.wanted import GATEWAY

# What cannot be made anew as it was.
DATA = frozenset({"google_storage_bucket", "google_secret_manager_secret", "google_service_account"})
# What others know by its name or address: to lose it is a change for them.
KNOWN = frozenset({*DATA, "google_api_gateway_api", "google_api_gateway_gateway", "google_apikeys_key"})
FRESH = {
    "gateway": (GATEWAY,),
    "key": (),  # its next generation has another name, which makes it another key
}
KEY_TYPE = "google_apikeys_key"
FRESH_TYPES = {
    "gateway": frozenset({"google_api_gateway_gateway"}),
    "key": frozenset({KEY_TYPE, "google_secret_manager_secret_version"}),
}


@dataclass(frozen=True, slots=True)
class Judgement:
    """`refused` is never done; `to_ask`: only with a person's word."""

    refused: tuple[str, ...] = ()
    to_ask: tuple[str, ...] = ()


def judge(plan: Plan, fresh: Collection[str] = (), *, has_key: bool = False) -> Judgement:
    """fresh: what was asked to be made anew.

    has_key: whether there is to be one. Then one that goes is followed by another: this run was asked for it, or one
    before, which has died over it, or its own name was taken from it by whoever has deleted it.
    """
    asked = frozenset[str]().union(*(FRESH_TYPES[each] for each in fresh))
    refused = tuple(_refused(plan))
    to_ask = tuple(
        f"{change.address}: {said(change)}"
        for change in plan.changes
        if change.deletes and change.type in KNOWN - asked and not _is_refused(change)
        if not (has_key and change.type == KEY_TYPE and not change.replaces)
    )
    return Judgement(refused, to_ask)


def judge_removal(plan: Plan) -> Judgement:
    """Of a plan that is to take everything away: a person must agree to all of it, and it makes nothing."""
    made = tuple(f"{each.address}: {said(each)}" for each in plan.changes if not each.deletes or each.replaces)
    return Judgement(made, tuple(f"{each.address}: {said(each)}" for each in plan.changes if each.deletes))


def check_fresh(provision: Provision, fresh: Collection[str]) -> None:
    """Raises ParameterError for what there is none of, which would be made anew without a word."""
    for name, wanted in (("gateway", provision.gateway), ("key", provision.has_key)):
        if name in fresh and not wanted:
            key = "provision.gateway" + (".api_key" if name == "key" else "")
            raise ParameterError(
                f"There is no {name} to make anew: slipway.yaml asks for none.", f"say {key}, or leave out fresh."
            )


def replaced(fresh: Collection[str]) -> tuple[str, ...]:
    """The addresses that Terraform is told to make anew."""
    return tuple(address for each in sorted(set(fresh)) for address in FRESH[each])


def said(change: Change) -> str:
    """In words: what is to become of it, and why."""
    because = f", because {', '.join(change.because)} cannot be changed" if change.because else ""
    if change.replaces:
        return f"would be deleted and made anew{because}"
    return "would be deleted" if change.deletes else f"would be changed ({change.word})"


def _refused(plan: Plan) -> Iterator[str]:
    for change in plan.changes:
        if _is_refused(change):
            how = "is adopted, and " if change.imports else ""
            yield f"{change.address}: {how}{said(change)}"


def _is_refused(change: Change) -> bool:
    if change.imports and change.deletes:
        return True
    return change.replaces and change.type in DATA
