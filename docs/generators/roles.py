"""Roles and what they are for, from what preflight and clean-up ask for."""

from __future__ import annotations

from collections.abc import Iterable

from docs.generators.tables import table
from tasks.cleanup.kinds.registry import CLEANUP_NEEDS
from tasks.failures.roles import ACT_AS, NEEDS, Need


def deployer_roles() -> str:
    """What every flow needs that ships."""
    return _by_role((*NEEDS, ACT_AS))


def cleanup_roles() -> str:
    """What the clean-up flow needs besides."""
    return _by_role(CLEANUP_NEEDS)


def _by_role(needs: Iterable[Need]) -> str:
    """One row per role, with everything it is needed for."""
    found: dict[str, list[Need]] = {}
    for need in needs:
        found.setdefault(need.role, []).append(need)
    rows = [[f"`{role}`", _reasons(each), _permissions(each)] for role, each in sorted(found.items())]
    return table(["role", "why", "permissions"], rows)


def _reasons(needs: list[Need]) -> str:
    return "; ".join(dict.fromkeys(need.why for need in needs))


def _permissions(needs: list[Need]) -> str:
    return ", ".join(f"`{need.permission}`" for need in needs)
