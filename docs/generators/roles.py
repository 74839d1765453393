"""Roles and what they are for, from what preflight and clean-up ask for."""

from __future__ import annotations

from collections.abc import Iterable

from docs.generators.tables import table
from tasks.cleanup.kinds.registry import CLEANUP_NEEDS
from tasks.failures.roles import ACT_AS, KEEP, KEEP_DATABASES, LOOK_INTO, NEEDS, WATCH, Need
from tasks.provision.needs import ALL as PROVISION_NEEDS


def deployer_roles() -> str:
    """What every flow needs that ships."""
    return _by_role((*NEEDS, WATCH, ACT_AS))


def kept_roles() -> str:
    """What such a flow needs besides where the environment has `scan` or `backup`."""
    return _by_role((LOOK_INTO, *KEEP, *KEEP_DATABASES))


def cleanup_roles() -> str:
    """What the clean-up flow needs besides."""
    return _by_role(CLEANUP_NEEDS)


def provision_roles() -> str:
    """What the provision flow needs."""
    return _by_role({(need.role, need.permission): need for need in PROVISION_NEEDS}.values())


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
