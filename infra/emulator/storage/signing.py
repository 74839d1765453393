"""Signed URLs: whose signature a request carries. https://cloud.google.com/storage/docs/authentication/signatures"""

from __future__ import annotations

import base64
import binascii
import datetime
import hashlib
import time
from urllib.parse import quote

from aiohttp import web

from infra.emulator.iam.identity import Identity
from infra.emulator.storage.errors import StorageError, bad_request

ALGORITHM = "GOOG4-RSA-SHA256"
LONGEST_S = 7 * 24 * 3600


def signer(request: web.Request, identity: Identity) -> str:
    """The service account that signed the URL, '' for a URL without signature; raises 400 or 403."""
    query = {key.lower(): value for key, value in request.query.items()}
    if "x-goog-signature" in query:
        return _v4(request, query, identity)
    if "googleaccessid" in query and "signature" in query:
        return _v2(request, query, identity)
    return ""


def _v4(request: web.Request, query: dict[str, str], identity: Identity) -> str:
    email, _, scope = query.get("x-goog-credential", "").partition("/")
    try:
        issued = datetime.datetime.strptime(query["x-goog-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.UTC)
        lifetime_s = int(query["x-goog-expires"])
        signature = bytes.fromhex(query["x-goog-signature"])
    except (KeyError, ValueError):
        raise bad_request("Invalid signed URL.") from None
    if query.get("x-goog-algorithm") != ALGORITHM or not 0 < lifetime_s <= LONGEST_S:
        raise bad_request("Invalid signed URL.")
    if not _in_scope(scope, f"{issued:%Y%m%d}") or "host" not in query.get("x-goog-signedheaders", "").split(";"):
        raise bad_request("Invalid signed URL.")
    if issued.timestamp() + lifetime_s < time.time():
        raise _expired(issued + datetime.timedelta(seconds=lifetime_s))
    for verb in _verbs(request.method):
        digest = hashlib.sha256(canonical_request(request, query, verb).encode()).hexdigest()
        text = "\n".join((ALGORITHM, query["x-goog-date"], scope, digest))
        if identity.signed_by(email, text.encode(), signature):
            return email
    raise _mismatch(text)


def _in_scope(scope: str, day: str) -> bool:
    """DATE/LOCATION/storage/goog4_request: https://cloud.google.com/storage/docs/authentication/signatures#credential-scope

    Any location is taken.
    """
    parts = scope.split("/")
    return len(parts) == 4 and parts[0] == day and parts[1] != "" and parts[2:] == ["storage", "goog4_request"]


def _verbs(method: str) -> tuple[str, ...]:
    """As which a request may have been signed: "both GET and HEAD requests can be made" with a URL for GET.

    https://cloud.google.com/dotnet/docs/reference/Google.Cloud.Storage.V1/latest/Google.Cloud.Storage.V1.UrlSigner.RequestTemplate
    """
    return ("HEAD", "GET") if method == "HEAD" else (method,)


def canonical_request(request: web.Request, query: dict[str, str], verb: str) -> str:
    """https://cloud.google.com/storage/docs/authentication/canonical-requests"""
    names = query.get("x-goog-signedheaders", "").split(";")
    headers = "".join(f"{name}:{' '.join(request.headers.get(name, '').split())}\n" for name in names)
    pairs = sorted(
        f"{quote(key, safe='~')}={quote(value, safe='~')}"
        for key, value in request.query.items()
        if key.lower() != "x-goog-signature"
    )
    payload = request.headers.get("x-goog-content-sha256", "UNSIGNED-PAYLOAD")
    return "\n".join((verb, request.rel_url.raw_path, "&".join(pairs), headers, ";".join(names), payload))


def _v2(request: web.Request, query: dict[str, str], identity: Identity) -> str:
    expires = query.get("expires", "")
    if not expires.isdigit():
        raise bad_request("Invalid signed URL.")
    if int(expires) < time.time():
        raise _expired(datetime.datetime.fromtimestamp(int(expires), datetime.UTC))
    extension = "".join(
        f"{name}:{value}\n"
        for name, value in sorted((key.lower(), value) for key, value in request.headers.items())
        if name.startswith("x-goog-")
    )
    md5, kind = request.headers.get("Content-MD5", ""), request.headers.get("Content-Type", "")
    text = "\n".join((request.method, md5, kind, expires, extension + request.rel_url.raw_path))
    try:
        signature = base64.b64decode(query["signature"])
    except binascii.Error:
        raise bad_request("Invalid signed URL.") from None
    if not identity.signed_by(query["googleaccessid"], text.encode(), signature):
        raise _mismatch(text)
    return query["googleaccessid"]


def _expired(when: datetime.datetime) -> StorageError:
    return StorageError(400, "invalid", f"Request signature expired at: {when.isoformat()}", "ExpiredToken")


def _mismatch(text: str) -> StorageError:
    message = (
        "Access denied. The request signature we calculated does not match the signature you provided. Check your "
        f"Google secret key and signing method. String to sign: {text}"
    )
    return StorageError(403, "forbidden", message, "SignatureDoesNotMatch")
