"""What a kubeconfig says of how a cluster is reached, and what of it is refused."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from infra.gcp.calls.errors import GoogleError
from infra.gcp.kubernetes.access import from_kubeconfig, of_kubeconfig

PEM = base64.b64encode(b"PEM").decode()
CLUSTER = {"server": "https://10.0.0.1:6443/", "certificate-authority-data": PEM}


def config(cluster: dict[str, Any], user: dict[str, Any]) -> dict[str, Any]:
    return {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
    }


@pytest.mark.parametrize(
    ("user", "found"),
    [
        ({"token": "t"}, {"token": "t"}),
        ({"tokenFile": "t.txt"}, {"token_file": "/folder/t.txt"}),
        ({"client-certificate-data": PEM, "client-key-data": PEM}, {"certificate": "PEM", "key": "PEM"}),
        ({"exec": {"command": "gke-gcloud-auth-plugin"}}, {"google": True}),
    ],
    ids=["token", "file", "certificate", "google"],
)
def test_every_way_to_say_who_asks_is_understood(user: dict[str, Any], found: dict[str, Any]) -> None:
    access = from_kubeconfig(config(CLUSTER, user), "", Path("/folder"))
    assert (access.id, access.server, access.authority) == ("https://10.0.0.1:6443", "https://10.0.0.1:6443", "PEM")
    assert {key: getattr(access, key) for key in found} == found


@pytest.mark.parametrize(
    ("cluster", "user", "context", "said"),
    [
        (CLUSTER | {"insecure-skip-tls-verify": True}, {}, "", "does not prove who the server is"),
        ({"server": "http://10.0.0.1"}, {}, "", "does not prove who the server is"),
        (CLUSTER, {"exec": {"command": "aws"}}, "", "runs aws for a token"),
        (CLUSTER, {}, "elsewhere", "has no context 'elsewhere'"),
        (CLUSTER | {"certificate-authority-data": "?"}, {}, "", "no base64"),
        (CLUSTER, {"client-certificate": "missing.pem"}, "", "cannot be read"),
    ],
    ids=["insecure", "http", "exec", "context", "base64", "file"],
)
def test_what_cannot_be_used_is_refused(cluster: dict[str, Any], user: dict[str, Any], context: str, said: str) -> None:
    with pytest.raises(GoogleError, match=said):
        from_kubeconfig(config(cluster, user), context, Path("/folder"))


async def test_a_file_that_is_no_kubeconfig_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("[1, 2]")
    with pytest.raises(GoogleError, match="is no kubeconfig"):
        await of_kubeconfig(str(tmp_path / "config"))
