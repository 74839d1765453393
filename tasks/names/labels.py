"""Labels: how a resource says that it is ours, and of which app and environment. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tasks.names.naming import fitted

MANAGED_BY = "slipway"
LABEL_LIMIT = 63  # https://cloud.google.com/resource-manager/docs/labels-overview#requirements


def labels(app: str, environment: str) -> dict[str, str]:
    """What marks a resource as ours: without the first, clean-up never touches it."""
    return {
        "managed-by": MANAGED_BY,
        "slipway-app": label_value(app),
        "slipway-environment": label_value(environment),
    }


def owner_of(labels: Mapping[str, str], app: str) -> str | None:
    """The app that a resource says it is part of; None when it says nothing of Slipway."""
    if labels.get("managed-by") != MANAGED_BY or "slipway-app" not in labels:
        return None
    return app if labels["slipway-app"] == label_value(app) else labels["slipway-app"]


def label_value(text: str) -> str:
    """The text as a label value: `[a-z0-9_-]`, at most 63 characters.

    Dots become `_` and plus signs `__`, neither of which a SemVer version contains: v1.4.0+5 becomes v1_4_0__5.
    Where that does not suffice (capitals, underscores, other characters, too long) the value ends in a hash.
    """
    value = re.sub(r"[^a-z0-9_-]", "-", text.lower().replace("+", "__").replace(".", "_"))
    return fitted(value, text, LABEL_LIMIT, changed=value.replace("__", "+").replace("_", ".") != text)
