# ruff: noqa
# fmt: off
# mypy: ignore-errors
"""Plays 117 requests to a Kubernetes API, and writes the normalised answers as lines of JSON.

    python -m tests.infra.emulator.kubernetes.judge https://HOST[:PORT] CA.pem TOKEN [--real] > answers.jsonl

`tests/data/kubernetes-responses.jsonl` is what a real one answered: kube-apiserver 1.20.2 with its controllers. Names,
codes, reasons, messages, defaults and what controllers do are compared; uids, versions and times are masked.
"""

import json, re, sys, time
import ssl, httpx

BASE, CA, TOKEN = sys.argv[1:4]
pause = time.sleep if sys.argv[4:] == ["--real"] else lambda _: None  # for controllers that take their time
http = httpx.Client(base_url=BASE, verify=ssl.create_default_context(cafile=CA), timeout=30)
J, META = "application/json", "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
MERGE, STRATEGIC, JSONPATCH, APPLY = (f"application/{k}" for k in ("merge-patch+json", "strategic-merge-patch+json", "json-patch+json", "apply-patch+yaml"))
uids, seen = {}, {}
UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
DROP = {"managedFields", "selfLink", "remainingItemCount"}

def mask(value, key=""):
    if isinstance(value, dict):
        return {k: mask(v, k) for k, v in sorted(value.items()) if k not in DROP}
    if isinstance(value, list):
        return [mask(v, key) for v in value]
    if isinstance(value, str):
        if key in ("uid", "controller-uid"): return uids.setdefault(value, f"<uid{len(uids)}>")
        if key == "resourceVersion" or key == "continue": return f"<{key}>" if value else value
        value = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "<time>", value)
        value = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", lambda m: uids.setdefault(m[0], f"<uid{len(uids)}>"), value)
        value = re.sub(r"(ResourceVersion in (?:record|the precondition)) \(\d+\)", r"\1 (<resourceVersion>)", value)
        if key in ("name", "names", "generateName", "items", ""):
            value = re.sub(r"-[0-9bcdf]{6,10}(-[a-z0-9]{5})?$", "-<hash>", re.sub(r"^once-[a-z0-9]{5}$", "once-<hash>", value))
        return re.sub(r"^[0-9a-f]{8,10}$", "<hash>", value)
    return value

def call(title, method, path, body=None, *, accept=J, kind=J, token=TOKEN, pick=None):
    headers = {"Accept": accept} | ({"Authorization": f"Bearer {token}"} if token else {}) | ({"Content-Type": kind} if body is not None else {})
    r = http.request(method, path, headers=headers, content=body if isinstance(body, str) else None if body is None else json.dumps(body))
    try: data = r.json()
    except ValueError: data = r.text
    seen[title] = data
    asked = re.sub(r"continue=ey[\w%=-]+", "continue=<continue>", f"{method} {path}")
    sent = json.loads(re.sub(r'"resourceVersion": "\d{2,}"', '"resourceVersion": "<resourceVersion>"', re.sub(UUID, "<uid>", json.dumps(body))))
    print(json.dumps({"title": title, "request": asked, "sent": sent, "accept": accept if accept != J else None,
                      "status": r.status_code, "type": r.headers.get("content-type", "").split(";")[0], "body": mask(pick(data) if pick else data)}), flush=True)
    return data

def until(title, path, good, seconds=25):
    end = time.time() + seconds
    while time.time() < end:
        r = http.get(path, headers={"Authorization": f"Bearer {TOKEN}"})
        if good(r.status_code, r.json()): break
        time.sleep(0.3)
    call(title, "GET", path, pick=lambda d: {"items": sorted(i["metadata"]["name"] for i in d["items"])} if "items" in d else d)

def meta(name, **kw): return {"metadata": {"name": name} | kw}
N = "/api/v1/namespaces"; S = f"{N}/shop"; A = "/apis/apps/v1/namespaces/shop"; B = "/apis/batch/v1/namespaces/shop"
slim = lambda d: {**{k: d.get(k) for k in ("kind", "apiVersion", "groupVersion")}, "resources": [{k: r.get(k) for k in ("name", "singularName", "namespaced", "kind", "verbs", "shortNames", "categories")} for r in d["resources"] if r["name"] in ("configmaps", "secrets", "namespaces", "pods", "persistentvolumeclaims", "persistentvolumes", "serviceaccounts", "services", "deployments", "statefulsets", "daemonsets", "replicasets", "jobs", "ingresses", "deployments/status")]}

call("versions", "GET", "/api", pick=lambda d: {k: d[k] for k in ("kind", "versions")})
call("groups", "GET", "/apis", pick=lambda d: {"kind": d["kind"], "apiVersion": d["apiVersion"], "groups": [g for g in d["groups"] if g["name"] in ("apps", "batch", "networking.k8s.io")]})
call("core resources", "GET", "/api/v1", pick=slim)
call("apps resources", "GET", "/apis/apps/v1", pick=slim)
call("no such group", "GET", "/apis/nothing.example.com/v1")
call("no such resource", "GET", "/api/v1/nothings")
call("no token", "GET", N, token="")
call("bad token", "GET", N, token="wrong")
for name in ("default", "kube-system", "kube-public", "kube-node-lease"):
    call(f"delete {name}, dry", "DELETE", f"{N}/{name}", {"dryRun": ["All"]}, pick=lambda d: {k: d.get(k) for k in ("kind", "message", "reason", "code", "status")})
call("create namespace", "POST", N, meta("shop", labels={"team": "a"}))
call("create namespace again", "POST", N, meta("shop"))
call("object in a missing namespace", "POST", f"{N}/nowhere/configmaps", meta("a"))
call("list in a missing namespace", "GET", f"{N}/nowhere/configmaps")
call("create", "POST", f"{S}/configmaps", meta("a", labels={"app": "x", "tier": "web"}) | {"data": {"k": "v"}})
call("create again", "POST", f"{S}/configmaps", meta("a"))
call("create without a name", "POST", f"{S}/configmaps", {"data": {}})
call("create with a bad name", "POST", f"{S}/configmaps", meta("Bad_Name"))
call("create with a bad label", "POST", f"{S}/configmaps", meta("l", labels={"a": "no spaces please"}))
call("create with another namespace", "POST", f"{S}/configmaps", meta("b", namespace="other"))
call("unknown field", "POST", f"{S}/configmaps?dryRun=All", meta("u") | {"nonsense": 1})
call("not JSON", "POST", f"{S}/configmaps", "{", kind=J)
call("get", "GET", f"{S}/configmaps/a")
call("get missing", "GET", f"{S}/configmaps/none")
call("create second", "POST", f"{S}/configmaps", meta("b", labels={"app": "y"}), pick=lambda d: d["kind"])
call("labels equal", "GET", f"{S}/configmaps?labelSelector=app%3Dx", pick=lambda d: [i["metadata"]["name"] for i in d["items"]])
call("labels in a set", "GET", f"{S}/configmaps?labelSelector=app%20in%20(x,y),!none", pick=lambda d: [i["metadata"]["name"] for i in d["items"]])
call("labels differ", "GET", f"{S}/configmaps?labelSelector=app!%3Dx", pick=lambda d: [i["metadata"]["name"] for i in d["items"]])
call("bad selector", "GET", f"{S}/configmaps?labelSelector=app%3D%3D%3Dx")
call("field selector", "GET", f"{S}/configmaps?fieldSelector=metadata.name%3Da", pick=lambda d: [i["metadata"]["name"] for i in d["items"]])
call("bad field selector", "GET", f"{S}/configmaps?fieldSelector=spec.x%3Da")
call("list shape", "GET", f"{S}/configmaps?labelSelector=app%3Dx")
first = call("page 1", "GET", f"{S}/configmaps?limit=1")
call("page 2", "GET", f"{S}/configmaps?limit=5&continue={first['metadata'].get('continue', '')}", pick=lambda d: {"metadata": d["metadata"], "names": [i["metadata"]["name"] for i in d["items"]]})
call("bad continue token", "GET", f"{S}/configmaps?limit=1&continue=abc")
call("metadata only", "GET", f"{S}/configmaps?labelSelector=app%3Dx", accept=META)
call("metadata only, empty", "GET", f"{S}/configmaps?labelSelector=app%3Dnone", accept=META)
call("empty list", "GET", f"{S}/configmaps?labelSelector=app%3Dnone")
call("table", "GET", f"{S}/configmaps?labelSelector=app%3Dx", accept=TABLE, pick=lambda d: {"kind": d["kind"], "columns": [c["name"] for c in d["columnDefinitions"]], "row": d["rows"][0]["cells"][:2], "object": d["rows"][0]["object"]["kind"]})
call("merge patch", "PATCH", f"{S}/configmaps/a", {"metadata": {"labels": {"tier": None}}, "data": {"n": "1"}}, kind=MERGE)
call("JSON patch whose test fails", "PATCH", f"{S}/configmaps/a", [{"op": "test", "path": "/data/k", "value": "other"}], kind=JSONPATCH)
call("patch missing", "PATCH", f"{S}/configmaps/none", {}, kind=MERGE)
call("unsupported patch", "PATCH", f"{S}/configmaps/a", {}, kind=J)
call("replace, stale", "PUT", f"{S}/configmaps/a", meta("a", resourceVersion="1") | {"data": {}})
call("replace, other name", "PUT", f"{S}/configmaps/a", meta("c"))
call("apply creates", "PATCH", f"{S}/configmaps/applied?fieldManager=me", json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"k": "v"}}), kind=APPLY)
call("apply conflicts", "PATCH", f"{S}/configmaps/applied?fieldManager=you", json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"k": "w"}}), kind=APPLY)
call("apply without a manager", "PATCH", f"{S}/configmaps/applied", "{}", kind=APPLY)
call("secret", "POST", f"{S}/secrets", meta("s") | {"stringData": {"password": "x"}, "immutable": True})
call("immutable secret", "PATCH", f"{S}/secrets/s", {"stringData": {"password": "y"}}, kind=MERGE)
a = seen["get"]["metadata"]
call("delete, wrong uid", "DELETE", f"{S}/configmaps/a", {"preconditions": {"uid": "wrong"}})
call("delete, stale version", "DELETE", f"{S}/configmaps/a", {"preconditions": {"uid": a["uid"], "resourceVersion": a["resourceVersion"]}})
call("delete, dry by query", "DELETE", f"{S}/configmaps/a?dryRun=All")
call("still there", "GET", f"{S}/configmaps/a", pick=lambda d: d["kind"])
call("delete, dry in the body", "DELETE", f"{S}/configmaps/a", {"dryRun": ["All"]})
call("still there too", "GET", f"{S}/configmaps/a", pick=lambda d: d["kind"])
call("delete, dry by query but with a body: it is real", "DELETE", f"{S}/configmaps/a?dryRun=All", {"propagationPolicy": "Background"})
call("gone", "GET", f"{S}/configmaps/a", pick=lambda d: {k: d.get(k) for k in ("kind", "reason")})
call("delete missing", "DELETE", f"{S}/configmaps/a")
call("delete, bad policy", "DELETE", f"{S}/configmaps/b", {"propagationPolicy": "Sideways"})
call("finalizer", "POST", f"{S}/configmaps", meta("held", finalizers=["example.com/hold"]), pick=lambda d: d["metadata"]["finalizers"])
call("delete, held", "DELETE", f"{S}/configmaps/held")
call("delete again, held", "DELETE", f"{S}/configmaps/held", pick=lambda d: d["kind"])
call("release", "PATCH", f"{S}/configmaps/held", {"metadata": {"finalizers": None}}, kind=MERGE, pick=lambda d: d["kind"])
call("released", "GET", f"{S}/configmaps/held", pick=lambda d: d.get("reason"))
call("collection", "DELETE", f"{S}/configmaps?labelSelector=app%3Dy", pick=lambda d: d["kind"])
call("owner gone", "POST", f"{S}/configmaps", meta("orphan", ownerReferences=[{"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "11111111-1111-1111-1111-111111111111"}]), pick=lambda d: d["kind"])
until("owner gone: collected", f"{S}/configmaps/orphan", lambda code, d: code == 404)
pods = lambda app: {"metadata": {"labels": {"app": app}}, "spec": {"containers": [{"name": "c", "image": "example.com/i@sha256:" + "a" * 64}]}}
call("deployment", "POST", f"{A}/deployments", meta("web") | {"spec": {"selector": {"matchLabels": {"app": "web"}}, "template": pods("web")}})
call("deployment, selector differs", "POST", f"{A}/deployments", meta("bad") | {"spec": {"selector": {"matchLabels": {"app": "z"}}, "template": pods("web")}})
until("replica sets", f"{A}/replicasets", lambda c, d: d["items"])
call("replica set's owner", "GET", f"{A}/replicasets", pick=lambda d: d["items"][0]["metadata"]["ownerReferences"])
until("pods", f"{S}/pods", lambda c, d: d["items"])
call("pod's owner", "GET", f"{S}/pods", pick=lambda d: [d["items"][0]["metadata"]["ownerReferences"], d["items"][0]["status"].get("phase")])
call("delete deployment, no options", "DELETE", f"{A}/deployments/web")
until("its replica sets", f"{A}/replicasets", lambda c, d: not d["items"]); until("its pods", f"{S}/pods", lambda c, d: not d["items"])
call("deployment to orphan", "POST", f"{A}/deployments", meta("lone") | {"spec": {"selector": {"matchLabels": {"app": "lone"}}, "template": pods("lone")}}, pick=lambda d: d["kind"])
until("its replica set", f"{A}/replicasets", lambda c, d: d["items"])
call("delete deployment, orphan", "DELETE", f"{A}/deployments/lone", {"propagationPolicy": "Orphan"}, pick=lambda d: d["kind"])
until("deployment is gone", f"{A}/deployments/lone", lambda c, d: c == 404)
call("replica set stays", "GET", f"{A}/replicasets", pick=lambda d: [[i["metadata"]["name"], i["metadata"].get("ownerReferences")] for i in d["items"]])
call("replica sets away", "DELETE", f"{A}/replicasets", pick=lambda d: d["kind"])
call("deployment in the foreground", "POST", f"{A}/deployments", meta("front") | {"spec": {"selector": {"matchLabels": {"app": "front"}}, "template": pods("front")}}, pick=lambda d: d["kind"])
until("a pod of it", f"{S}/pods?labelSelector=app%3Dfront", lambda c, d: d["items"])
call("delete deployment, foreground", "DELETE", f"{A}/deployments/front", {"propagationPolicy": "Foreground"}, pick=lambda d: {"finalizers": d.get("metadata", {}).get("finalizers"), "deletionTimestamp": bool(d.get("metadata", {}).get("deletionTimestamp"))})
until("foreground is done", f"{A}/deployments/front", lambda c, d: c == 404)
call("job", "POST", f"{B}/jobs", meta("once") | {"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}}, pick=lambda d: d["spec"] | {"selector": None, "template": None})
until("its pod", f"{S}/pods?labelSelector=job-name%3Donce", lambda c, d: d["items"])
call("delete job, no options", "DELETE", f"{B}/jobs/once", pick=lambda d: [d["kind"], d.get("status")])
until("job is gone", f"{B}/jobs/once", lambda c, d: c == 404); pause(2)
call("its pod stays", "GET", f"{S}/pods?labelSelector=job-name%3Donce", pick=lambda d: [len(d["items"]), d["items"][0]["metadata"].get("ownerReferences") if d["items"] else None])
call("pods away", "DELETE", f"{S}/pods", pick=lambda d: d["kind"])
call("stateful set", "POST", f"{A}/statefulsets", meta("db") | {"spec": {"serviceName": "db", "selector": {"matchLabels": {"app": "db"}}, "template": pods("db"), "volumeClaimTemplates": [meta("data", labels={"keep": "yes"}) | {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}]}}, pick=lambda d: d["spec"]["volumeClaimTemplates"])
until("its claims", f"{S}/persistentvolumeclaims", lambda c, d: d["items"])
call("its claim", "GET", f"{S}/persistentvolumeclaims/data-db-0")
call("delete stateful set", "DELETE", f"{A}/statefulsets/db", {"propagationPolicy": "Background"}, pick=lambda d: d["kind"])
until("its pods are gone", f"{S}/pods", lambda c, d: not d["items"])
call("its claim stays", "GET", f"{S}/persistentvolumeclaims/data-db-0", pick=lambda d: [d["metadata"].get("ownerReferences"), d["metadata"]["finalizers"], d["status"]["phase"]])
call("a node", "POST", "/api/v1/nodes", meta("n1"), pick=lambda d: d["kind"])
call("pod on a node that mounts it", "POST", f"{S}/pods", meta("user") | {"spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "i"}], "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data-db-0"}}]}}, pick=lambda d: d["status"])
pause(1)
call("delete claim in use", "DELETE", f"{S}/persistentvolumeclaims/data-db-0", pick=lambda d: d["kind"]); pause(2)
call("it waits", "GET", f"{S}/persistentvolumeclaims/data-db-0", pick=lambda d: [bool(d["metadata"].get("deletionTimestamp")), d["metadata"].get("finalizers")])
call("delete its pod at once", "DELETE", f"{S}/pods/user", {"gracePeriodSeconds": 0}, pick=lambda d: [d["kind"], d.get("metadata", {}).get("deletionGracePeriodSeconds")])
until("then it goes", f"{S}/persistentvolumeclaims/data-db-0", lambda c, d: c == 404)
call("ingress", "POST", "/apis/networking.k8s.io/v1/namespaces/shop/ingresses", meta("in") | {"spec": {"tls": [{"hosts": ["a.example.com"], "secretName": "cert"}], "defaultBackend": {"service": {"name": "web", "port": {"number": 80}}}}})
call("a held object for the end", "POST", f"{S}/configmaps", meta("last", finalizers=["example.com/hold"]), pick=lambda d: d["kind"])
call("delete namespace", "DELETE", f"{N}/shop", {"preconditions": {"uid": seen["create namespace"]["metadata"]["uid"]}, "propagationPolicy": "Background"})
until("namespace waits", f"{N}/shop", lambda c, d: d.get("status", {}).get("conditions"))
call("create in a namespace that ends", "POST", f"{S}/configmaps", meta("late"))
call("delete namespace again", "DELETE", f"{N}/shop", pick=lambda d: {k: d.get(k) for k in ("kind", "reason", "code", "message")})
call("the rest", "GET", f"{S}/configmaps", pick=lambda d: [i["metadata"]["name"] for i in d["items"]])
call("let it go", "PATCH", f"{S}/configmaps/last", {"metadata": {"finalizers": None}}, kind=MERGE, pick=lambda d: d["kind"])
until("namespace is gone", f"{N}/shop", lambda c, d: c == 404)
call("node away", "DELETE", "/api/v1/nodes/n1", pick=lambda d: d["kind"])
