"""When two values of one setting of Cloud Run are the same. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, TypeGuard

from tasks.names import resources
from tasks.names.references import ImageReference

_DEFAULT_ACCOUNT = re.compile(r"\d+-compute@developer\.gserviceaccount\.com")
_QUANTITY = re.compile(r"([0-9.]+(?:[eE][+-]?\d+)?)([mkMGTPE]|[KMGTPE]i)?")
_FACTORS: Mapping[str, Decimal] = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    "k": Decimal(1000),
    **{letter: Decimal(1000) ** power for power, letter in enumerate("MGTPE", 2)},
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", 1)},
}


def same(value: object, shape: str, project: str) -> object:
    """What decides equality of a value at a path of this shape; "" or an empty tuple when it says nothing.

    `project` is the id of the service's own project.
    """
    if is_list(value):
        return tuple(text_of(entry) for entry in value)
    text = text_of(value)
    if text.endswith("_UNSPECIFIED"):
        return ""
    if ".limits." in shape or shape.endswith(".sizeLimit"):
        return quantity(text)
    if shape.endswith(".secret.secret"):
        return secret_name(text, project)
    return _SAME[shape](text) if shape in _SAME else text


def is_list(value: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def quantity(text: str) -> Decimal | str:
    """512Mi, 0.5Gi and 536870912 are one amount, 1 and 1000m another; what is no Kubernetes quantity stays as it is."""
    found = _QUANTITY.fullmatch(text.strip())
    try:
        return Decimal(found[1]) * _FACTORS[found[2] or ""] if found else text
    except InvalidOperation:
        return text


def text_of(value: object) -> str:
    """300 and "300", 300.0 and "300", true and "true" are the same."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _seconds(text: str) -> Decimal | str:
    return quantity(text.removesuffix("s"))


def own_account(email: str) -> str:
    """'' for the one that Cloud Run takes where none is named: the project's Compute Engine account."""
    return "" if _DEFAULT_ACCOUNT.fullmatch(email) else email


def secret_name(name: str, project: str) -> str:
    """Short for the own project's, by id or number; a number cannot be told from another project's."""
    found = re.fullmatch(r"projects/([^/]+)/secrets/([^/]+)", name)
    return found[2] if found and (found[1] == project or found[1].isdigit()) else name


_SAME: Mapping[str, Callable[[str], object]] = {
    "template.containers[].image": lambda text: ImageReference.parse(text).canonical,
    "template.timeout": _seconds,
    "template.serviceAccount": own_account,
    # The server writes out the full name of networks and connectors, with the project's id or its number.
    "template.vpcAccess.connector": resources.last,
    "template.vpcAccess.networkInterfaces[].network": resources.last,
    "template.vpcAccess.networkInterfaces[].subnetwork": resources.last,
    "template.containers[].volumeMounts[].mountPath": lambda text: text.rstrip("/"),
    "template.volumes[].nfs.path": lambda text: text.rstrip("/") or "/",
}
