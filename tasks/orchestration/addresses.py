"""Which addresses a slipway.yaml may have called: others write it than the operator of the worker that runs it.

Never: link-local addresses and metadata servers, which give a machine's credentials to whoever asks from it.
Private networks and the machine itself: only those that the operator lists in SLIPWAY_HOOK_NETWORKS, such as
`10.8.0.0/16,127.0.0.1/32`, but for what Cloud Run itself calls a service. What is routed on the internet: always.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

NETWORKS_VARIABLE = "SLIPWAY_HOOK_NETWORKS"

# https://cloud.google.com/compute/docs/metadata/querying-metadata
_METADATA_NAMES = frozenset({"metadata", "metadata.google.internal", "metadata.goog"})
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html and, of Google, the page above
_METADATA = tuple(map(ip_network, ("fd00:ec2::254/128", "fd20:ce::254/128")))
_NAT64 = IPv6Network("64:ff9b::/96")  # https://www.rfc-editor.org/rfc/rfc6052


def parse_networks(text: str) -> tuple[Network, ...]:
    """The networks of a list with commas; ValueError that says which one is none."""
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


def refusal(host: str, addresses: Sequence[str], allowed: Sequence[Network]) -> str:
    """Why a host with these addresses may not be called, or ''. One address that may not be reached is enough."""
    if never := forbidden(host, addresses):
        return never
    for text in addresses:
        reached = _reached(ip_address(text.partition("%")[0]))
        if not reached.is_global and not any(reached in network for network in allowed):
            return f"{host} is at {text}, in a private network"
    return ""


def forbidden(host: str, addresses: Sequence[str]) -> str:
    """Why nobody may have a host with these addresses called, or ''."""
    if host.rstrip(".").lower() in _METADATA_NAMES:
        return f"{host} is the metadata server"
    for text in addresses:
        reached = _reached(ip_address(text.partition("%")[0]))
        if reached.is_link_local or any(reached in network for network in _METADATA):
            return f"{host} is at {text}, where metadata servers are"
        if reached.is_multicast or reached.is_unspecified:
            return f"{host} is at {text}, which is no address of a host"
    return ""


async def addresses_of(host: str, port: int | None) -> list[str]:
    """Raises OSError where the name has none."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(place[0]) for *_, place in found))


def literal(host: str) -> Address | None:
    """The address that a host is written as; None for a name."""
    with contextlib.suppress(ValueError):
        return ip_address(host.strip("[]"))
    return None


def is_this_machine(host: str) -> bool:
    found = literal(host)
    return found.is_loopback if found else host.rstrip(".").lower() == "localhost"


def _reached(address: Address) -> Address:
    """The IPv4 address where an IPv6 one only wraps it."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    wrapped = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
    return wrapped or address
