"""A live template as somebody may have written it: without what Cloud Run filled in. Pure.

What it fills in follows from other settings, such as a probe's port from the container's. Kept, it would stay as it was
when those change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.spec.merge import ingress_of
from tasks.spec.settings import (
    ACTIONS,
    CONTAINER_SERVER_FIELDS,
    PROBES,
    TEMPLATE_SERVER_FIELDS,
    default_concurrency,
    is_default_probe,
    port_of,
)
from tasks.spec.values import text_of


def bare(template: Mapping[str, Any], *, requests: bool = True) -> dict[str, Any]:
    """The template, v2 as JSON, without revision name, default probes and what else follows from the rest.

    requests: whether one of its containers gets them, which alone has a port and a default probe.
    """
    body = {key: value for key, value in template.items() if key not in TEMPLATE_SERVER_FIELDS}
    containers = template.get("containers") or ()
    ingress = ingress_of(containers) if requests else None
    body["containers"] = [_container(each, is_ingress=each is ingress) for each in containers]
    concurrency = "maxInstanceRequestConcurrency"
    if text_of(body.get(concurrency)) == str(default_concurrency(containers)):
        del body[concurrency]
    return body


def _container(container: Mapping[str, Any], *, is_ingress: bool) -> dict[str, Any]:
    body = {key: value for key, value in container.items() if key not in CONTAINER_SERVER_FIELDS}
    if not is_ingress:
        return body
    port = port_of(container)
    if is_default_probe(body.get("startupProbe") or {}, port):
        del body["startupProbe"]
    for name in PROBES:
        if isinstance(body.get(name), Mapping):
            body[name] = {key: _action(key, value, port) for key, value in body[name].items()}
    return body


def _action(name: str, value: Any, port: object) -> Any:
    """Without the port, if it is the container's."""
    if name not in ACTIONS or not isinstance(value, Mapping) or text_of(value.get("port")) != text_of(port):
        return value
    return {key: inner for key, inner in value.items() if key != "port"}
