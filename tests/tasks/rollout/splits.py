"""Splits of traffic as the tests read them."""

from __future__ import annotations

from infra.gcp.run.traffic import TrafficTarget as Target

CANARY = (5, 25, 50)


def shares(targets: tuple[Target, ...]) -> dict[str | None, int]:
    return {target.revision: target.percent for target in targets if target.percent}


def tags(targets: tuple[Target, ...]) -> dict[str, str | None]:
    return {target.tag: target.revision for target in targets if target.tag}
