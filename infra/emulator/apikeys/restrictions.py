"""What a key may be restricted to, and whether a use of it is within that.

https://cloud.google.com/api-keys/docs/reference/rest/v2/projects.locations.keys#Restrictions
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from infra.emulator.kernel.errors import invalid
from infra.emulator.projects.managed import ManagedServices

SHA1 = re.compile(r"[0-9A-Fa-f]{40}|([0-9A-Fa-f]{2}:){19}[0-9A-Fa-f]{2}")
GOOGLE = ".googleapis.com"


def check(key: Any, managed: ManagedServices) -> None:
    """Raises INVALID_ARGUMENT for restrictions that nothing could ever meet."""
    where = "key.restrictions"
    for target in key.restrictions.api_targets:
        if not target.service.endswith(GOOGLE) and target.service not in managed:
            field = f"{where}.api_targets"
            raise invalid(f"The service '{target.service}' does not exist or is not visible to the caller.", field)
    for address in key.restrictions.server_key_restrictions.allowed_ips:
        if not _is_network(address):
            raise invalid(f"'{address}' is no IP address.", f"{where}.server_key_restrictions.allowed_ips")
    for app in key.restrictions.android_key_restrictions.allowed_applications:
        if not SHA1.fullmatch(app.sha1_fingerprint) or not app.package_name:
            field = f"{where}.android_key_restrictions.allowed_applications"
            raise invalid("An application needs a package name and a SHA1 fingerprint.", field)


def allows_service(key: Any, service: str) -> bool:
    """Without targets a key may call any API that is enabled in its project."""
    targets = key.restrictions.api_targets
    return not targets or any(target.service.lower() == service for target in targets)


def allows_caller(key: Any, address: str, referrer: str) -> bool:
    """Whether a call from that IP address, on behalf of that web page, may use the key.

    Keys of mobile apps are for apps alone, which say who they are in headers of their own.
    """
    kind = key.restrictions.WhichOneof("client_restrictions")
    if kind == "server_key_restrictions":
        allowed = key.restrictions.server_key_restrictions.allowed_ips
        return any(ipaddress.ip_address(address) in ipaddress.ip_network(each, strict=False) for each in allowed)
    if kind == "browser_key_restrictions":
        return any(_matches(each, referrer) for each in key.restrictions.browser_key_restrictions.allowed_referrers)
    return kind is None


def _matches(pattern: str, referrer: str) -> bool:
    """https://cloud.google.com/docs/authentication/api-keys#adding-http-restrictions: * stands for anything."""
    bare = re.sub(r"^https?://", "", pattern).rstrip("/")
    expected = re.escape(bare).replace(r"\*", ".*")
    return bool(re.fullmatch(f"{expected}(/.*)?", re.sub(r"^https?://", "", referrer)))


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True
