"""Which addresses a hook may reach."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.orchestration.addresses import parse_networks, refusal

EVERYTHING = parse_networks("0.0.0.0/0,::/0")


@pytest.mark.parametrize("address", ["142.250.1.1", "2a00:1450::1", "64:ff9b::8efa:101", "::ffff:142.250.1.1"])
def test_what_is_on_the_internet_may_be_called(address: str) -> None:
    assert refusal("hooks.example.com", [address], ()) == ""


@pytest.mark.parametrize(
    "address", ["10.0.0.1", "127.0.0.1", "192.168.1.1", "172.16.0.1", "100.64.0.1", "::1", "fd12::1", "64:ff9b::a00:1"]
)
def test_private_networks_may_be_called_once_they_are_allowed(address: str) -> None:
    assert refusal("hooks.example.com", [address], ()).endswith("in a private network")
    assert refusal("hooks.example.com", [address], EVERYTHING) == ""


@pytest.mark.parametrize("name", ["metadata.google.internal", "METADATA.google.internal.", "metadata"])
def test_the_metadata_server_is_known_by_its_name(name: str) -> None:
    assert "is the metadata server" in refusal(name, ["142.250.1.1"], EVERYTHING)


@given(st.integers(0, 2**16 - 1), st.sampled_from(["", "::ffff:", "64:ff9b::"]))
def test_no_link_local_address_is_reached_however_it_is_written(host: int, prefix: str) -> None:
    address = IPv4Address(int(IPv4Address("169.254.0.0")) + host)
    text = str(IPv6Address(f"{prefix}{address}")) if prefix else str(address)
    assert refusal("x", [text], EVERYTHING)
    assert refusal("x", ["142.250.1.1", text], EVERYTHING)


@pytest.mark.parametrize(
    "address", ["fe80::1%eth0", "fd00:ec2::254", "fd20:ce::254", "0.0.0.0", "::", "224.0.0.1", "2002:a9fe:a9fe::1"]
)
def test_what_is_no_host_or_gives_credentials_is_never_called(address: str) -> None:
    assert refusal("x", [address], EVERYTHING)


def test_no_networks_are_none() -> None:
    assert parse_networks(" ") == ()
    with pytest.raises(ValueError, match="10"):
        parse_networks("10.0.0.0/8, 10.1.0.0/8")
