"""By what deployments and runs are found in Prefect."""

from __future__ import annotations

from collections.abc import Iterable

APP, ENVIRONMENT = "app:", "environment:"  # what tags begin with
BRANCH = "branch:"  # what the tag of a deployment begins with that a push of that branch starts
REGISTERED = "slipway:registered"  # the tag of all that `slipway register` has made, and may take away
SHIPPING_FLOWS = ("deploy", "promote", "rollback", "drift", "ship")  # the last two by way of others
LONG_FLOWS = (*SHIPPING_FLOWS, "provision", "destroy")  # that somebody has to know of when their process is gone
WAITS = " (waits for a person)"  # at the end of the name of a run that asks one
STARTED_BY = "slipway.started-by"  # the label of a run: who says to have started it


def tags_of(app: str, environment: str = "") -> tuple[str, ...]:
    """Of what is about an app, or about one of its environments alone."""
    return (f"{APP}{app}", *([f"{ENVIRONMENT}{environment}"] if environment else []))


def told_by(tags: Iterable[str]) -> list[str]:
    """App and environment, as far as the tags say."""
    told = list(tags)
    found = [next((tag for tag in told if tag.startswith(kind)), "") for kind in (APP, ENVIRONMENT)]
    return [tag.partition(":")[2] for tag in found if tag]
