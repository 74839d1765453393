"""How many instances of a pool each revision has. Pure."""

from __future__ import annotations

from collections.abc import Mapping


def shared_out(count: int, shares: Mapping[str, int]) -> dict[str, int]:
    """`count` instances by percents that are 100 together: whole ones first, the rest where most is missing.

    Google speaks of percents only: https://cloud.google.com/run/docs/managing/workerpool-instance-splits-rollbacks.
    So 5 % of three instances is none here, and whoever wants one must ask for 34 %.
    """
    whole = {revision: count * percent // 100 for revision, percent in shares.items()}
    missing = sorted(shares, key=lambda revision: (-(count * shares[revision] % 100), revision))
    for revision in missing[: count - sum(whole.values())]:
        whole[revision] += 1
    return {revision: many for revision, many in whole.items() if many}
