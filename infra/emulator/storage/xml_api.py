"""The XML API: objects by their plain address, with ranges and signed URLs.

https://cloud.google.com/storage/docs/xml-api/overview
"""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape

from aiohttp import web

from infra.emulator.iam.identity import Identity
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.handlers import Call
from infra.emulator.storage import listing, media
from infra.emulator.storage.errors import xml_form
from infra.emulator.storage.json_objects import settings
from infra.emulator.storage.objects import Objects
from infra.emulator.storage.resources import Preconditions, Resource
from infra.emulator.storage.signing import signer
from infra.emulator.storage.staging import CHUNK, receive
from infra.emulator.storage.web import Access, api, number

BUCKET = "/{bucket}"
OBJECT = "/{bucket}/{name=**}"


class XmlApi:
    def __init__(self, cloud: Cloud) -> None:
        self._objects, self._identity, self._access = cloud.get(Objects), cloud.get(Identity), Access(cloud)

    def _require(self, request: web.Request, call: Call, permission: str, bucket: str) -> None:
        principal = signer(request, self._identity) or self._access.principal(call)
        self._access.check(principal, permission, bucket)

    @api("GET", OBJECT, method="storage.objects.get", form=xml_form)
    async def get(self, request: web.Request, call: Call, bucket: str, name: str) -> web.StreamResponse:
        self._require(request, call, "storage.objects.get", bucket)
        resource = self._objects.stat(bucket, name, number(request.query, "generation"))
        _preconditions(request).check(resource)
        return await media.send(request, resource, self._objects.path(resource), _asked_for(request))

    @api("PUT", OBJECT, method="storage.objects.insert", form=xml_form)
    async def put(self, request: web.Request, call: Call, bucket: str, name: str) -> web.Response:
        self._require(request, call, "storage.objects.create", bucket)
        if self._objects.find(bucket, name):
            self._require(request, call, "storage.objects.delete", bucket)
        staged = self._objects.stage()
        await receive(request.content.iter_chunked(CHUNK), staged)
        resource = self._objects.commit(bucket, name, staged, _properties(request), _preconditions(request))
        described = {
            key: value
            for key, value in media.headers(resource).items()
            if key in ("ETag", "X-Goog-Generation", "X-Goog-Metageneration", "X-Goog-Hash")
        }
        return web.Response(status=200, headers=described)

    @api("DELETE", OBJECT, method="storage.objects.delete", form=xml_form)
    async def delete(self, request: web.Request, call: Call, bucket: str, name: str) -> web.Response:
        self._require(request, call, "storage.objects.delete", bucket)
        self._objects.delete(bucket, name, number(request.query, "generation"), _preconditions(request))
        return web.Response(status=204)

    @api("GET", BUCKET, method="storage.objects.list", form=xml_form)
    async def list(self, request: web.Request, call: Call, bucket: str) -> web.Response:
        self._require(request, call, "storage.objects.list", bucket)
        query = listing.Query(
            prefix=request.query.get("prefix", ""),
            delimiter=request.query.get("delimiter", ""),
            max_results=number(request.query, "max-keys") or listing.MAX_RESULTS,
            page_token=request.query.get("continuation-token", ""),
        )
        page = listing.list_page([(name, 0) for name in self._objects.names(bucket, query.prefix)], query)
        found = [self._objects.stat(bucket, name) for name, _ in page.keys]
        return web.Response(text=_listing(bucket, query, page, found), content_type="application/xml")


def _asked_for(request: web.Request) -> dict[str, str]:
    """Headers of the answer that the URL names: https://cloud.google.com/storage/docs/xml-api/reference-headers#query"""
    named = {"Content-Disposition": "response-content-disposition", "Content-Type": "response-content-type"}
    return {header: request.query[name] for header, name in named.items() if name in request.query}


def _preconditions(request: web.Request) -> Preconditions:
    return Preconditions(
        generation=number(request.headers, "x-goog-if-generation-match"),
        metageneration=number(request.headers, "x-goog-if-metageneration-match"),
    )


def _properties(request: web.Request) -> Resource:
    properties: dict[str, Any] = {
        name: request.headers[header] for name, header in media.HEADERS.items() if header in request.headers
    }
    properties["contentType"] = request.headers.get("Content-Type", "application/octet-stream")
    if md5 := request.headers.get("Content-MD5"):
        properties["md5Hash"] = md5
    prefix = "x-goog-meta-"
    metadata = {
        key.lower().removeprefix(prefix): value
        for key, value in request.headers.items()
        if key.lower().startswith(prefix)
    }
    kept = settings(properties) | ({"md5Hash": properties["md5Hash"]} if "md5Hash" in properties else {})
    return kept | ({"metadata": metadata} if metadata else {})


def _listing(bucket: str, query: listing.Query, page: listing.Page, found: list[Resource]) -> str:
    contents = "".join(
        f"<Contents><Key>{escape(r['name'])}</Key><Generation>{r['generation']}</Generation>"
        f"<MetaGeneration>{r['metageneration']}</MetaGeneration><LastModified>{r['updated']}</LastModified>"
        f"<ETag>{r['etag']}</ETag><Size>{r['size']}</Size></Contents>"
        for r in found
    )
    prefixes = "".join(f"<CommonPrefixes><Prefix>{escape(p)}</Prefix></CommonPrefixes>" for p in page.prefixes)
    token = f"<NextContinuationToken>{page.next_token}</NextContinuationToken>" if page.next_token else ""
    return (
        "<?xml version='1.0' encoding='UTF-8'?><ListBucketResult xmlns='http://doc.s3.amazonaws.com/2006-03-01'>"
        f"<Name>{bucket}</Name><Prefix>{escape(query.prefix)}</Prefix>"
        f"<IsTruncated>{'true' if page.next_token else 'false'}</IsTruncated>{token}{contents}{prefixes}"
        "</ListBucketResult>"
    )
