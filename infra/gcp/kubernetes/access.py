"""How the API server of a cluster is reached: its address, whom to believe, and as whom to ask.

A GKE cluster tells that itself (GetCluster) and takes Google's own access tokens; of any other a kubeconfig tells it:
https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from infra.gcp.calls.errors import GoogleError
from infra.gcp.calls.rest import access_token, get_json

KUBECONFIG = "kubernetes.config"
GOOGLES_PLUGIN = "gke-gcloud-auth-plugin"  # passes on an ordinary access token, and so do we


@dataclass(frozen=True, slots=True)
class Access:
    id: str  # projects/P/locations/L/clusters/C, or the server's address: how names of what is in it begin
    server: str  # https://…
    authority: str = ""  # PEM of who has signed its certificate; '' for the public ones
    token: str = field(default="", repr=False)
    token_file: str = ""  # read anew for each call: such tokens are short-lived
    certificate: str = field(default="", repr=False)  # the client's, with its key, as PEM
    key: str = field(default="", repr=False)
    google: bool = False  # ask with Google's own access tokens

    async def bearer(self) -> str:
        """'' where a client certificate says who asks. Raises GoogleError."""
        if self.google:
            return await access_token()
        if self.token_file:
            return (await asyncio.to_thread(_text, self.token_file)).strip()
        return self.token


async def of_cluster(name: str, *, dns: bool = False) -> Access:
    """Of a GKE cluster by its full name, at its address or at its DNS name, which has a public certificate."""
    found = await get_json("container.clusters.get", f"https://container.googleapis.com/v1/{name}")
    if dns:
        endpoints = found.get("controlPlaneEndpointsConfig", {}).get("dnsEndpointConfig", {})
        if host := endpoints.get("endpoint", ""):
            return Access(name, f"https://{host}", google=True)
        raise GoogleError("container.clusters.get", "FAILED_PRECONDITION", f"{name} has no DNS endpoint.")
    authority = base64.b64decode(found.get("masterAuth", {}).get("clusterCaCertificate", "")).decode()
    if not found.get("endpoint") or not authority:
        told = f"{name} has no endpoint by now, its state is {found.get('status', 'unknown')}."
        raise GoogleError("container.clusters.get", "FAILED_PRECONDITION", told)
    return Access(name, f"https://{found['endpoint']}", authority, google=True)


async def of_kubeconfig(path: str, context: str = "") -> Access:
    """Of the file's current context, or of another. Raises GoogleError for what is missing or cannot be used."""
    return await asyncio.to_thread(_read, path, context)


def _read(path: str, context: str) -> Access:
    text = _text(path)
    try:
        return from_kubeconfig(yaml.safe_load(text), context, Path(path).expanduser().parent)
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise _unusable(f"{path} is no kubeconfig that says how to reach a cluster: {error!r}") from error


def from_kubeconfig(config: Mapping[str, Any], context: str, folder: Path) -> Access:
    """The part of a kubeconfig that its context names; relative paths in it start at `folder`."""
    chosen = context or config.get("current-context", "")
    names = _named(config, "contexts", "context", chosen)
    cluster = _named(config, "clusters", "cluster", names["cluster"])
    user = _named(config, "users", "user", names.get("user", "")) if names.get("user") else {}
    server = str(cluster["server"]).rstrip("/")
    if cluster.get("insecure-skip-tls-verify") or not server.startswith("https://"):
        raise _unusable(f"the context {chosen} does not prove who the server is: give certificate-authority-data.")
    google = GOOGLES_PLUGIN in str(user.get("exec", {}).get("command", ""))
    if user.get("exec") and not google:
        raise _unusable(
            f"the context {chosen} runs {user['exec'].get('command')} for a token, which is not done here: "
            "give a token, a tokenFile or a client certificate."
        )
    return Access(
        server,
        server,
        _given(cluster, "certificate-authority", folder),
        token=str(user.get("token", "")),
        token_file=str(folder / user["tokenFile"]) if user.get("tokenFile") else "",
        certificate=_given(user, "client-certificate", folder),
        key=_given(user, "client-key", folder),
        google=google,
    )


@lru_cache(maxsize=16)
def context_of(access: Access) -> ssl.SSLContext:
    """With the server's authority alone, where it has one of its own, and the client's certificate.

    Raises GoogleError for what is no certificate.
    """
    try:
        return _context(access)
    except (ssl.SSLError, ValueError, OSError) as error:
        raise _unusable(f"the certificates that lead to {access.server} cannot be used: {error}") from error


def _context(access: Access) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=access.authority or None)
    if access.certificate:
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:  # only its owner may read it
            file.write(f"{access.certificate}\n{access.key}\n")
            file.flush()
            context.load_cert_chain(file.name)
    return context


def _named(config: Mapping[str, Any], several: str, one: str, name: str) -> Mapping[str, Any]:
    found = next((each[one] for each in config.get(several) or () if each.get("name") == name), None)
    if found is None:
        raise _unusable(f"the kubeconfig has no {one} {name!r}.")
    return dict(found)


def _given(said: Mapping[str, Any], key: str, folder: Path) -> str:
    """In the file itself, or in one that it names."""
    if data := said.get(f"{key}-data"):
        try:
            return base64.b64decode(data, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise _unusable(f"{key}-data of the kubeconfig is no base64 of a PEM file.") from None
    return _text(str(folder / said[key])) if said.get(key) else ""


def _text(path: str) -> str:
    try:
        return Path(path).expanduser().read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise _unusable(f"{path} cannot be read: {error}") from error


def _unusable(message: str) -> GoogleError:
    return GoogleError(KUBECONFIG, "FAILED_PRECONDITION", message)
