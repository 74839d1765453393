"""What becomes of gateways and keys when the emulator is killed and started again."""

from __future__ import annotations

import base64
import time
from pathlib import Path

import yaml

from tests.conftest import PROJECT
from tests.infra.emulator.emulated_gateway import GLOBAL, REGIONAL, operation, swagger
from tests.infra.emulator.emulated_process import emulator

PLAIN = base64.b64encode(yaml.safe_dump(swagger({"/": {"get": operation("root")}})).encode()).decode()


def test_a_gateway_that_was_being_made_is_made_on(tmp_path: Path) -> None:
    with emulator(tmp_path) as running:
        with running.rest("apikeys") as keys:
            keys.post(f"/v2/{GLOBAL}/keys", params={"keyId": "k"}, json={})
        with running.rest("apigateway") as rest:
            rest.post(f"/v1/{GLOBAL}/apis", params={"apiId": "a"}, json={})
            body = {"openapiDocuments": [{"document": {"path": "a.yaml", "contents": PLAIN}}]}
            rest.post(f"/v1/{GLOBAL}/apis/a/configs", params={"apiConfigId": "c"}, json=body)
            running.cloud.put("/latency", {"stages": {"apigateway.gateway": 60}})
            wanted = {"apiConfig": f"{GLOBAL}/apis/a/configs/c"}
            started = rest.post(f"/v1/{REGIONAL}/gateways", params={"gatewayId": "g"}, json=wanted).json()
            before = rest.get(f"/v1/{REGIONAL}/gateways/g").json()
        assert before["state"] == "CREATING"
        running.kill()
    with emulator(tmp_path) as running:
        with running.rest("apigateway") as rest:
            while not (found := rest.get(f"/v1/{started['name']}").json()).get("done"):
                time.sleep(0.02)
            assert found["response"]["defaultHostname"] == before["defaultHostname"]
            assert rest.get(f"/v1/{REGIONAL}/gateways/g").json()["state"] == "ACTIVE"
            service = rest.get(f"/v1/{GLOBAL}/apis/a").json()["managedService"]
            answer = rest.get(f"https://{before['defaultHostname']}/none", headers={"Host": before["defaultHostname"]})
            assert answer.json()["message"] == "The current request is not defined by this API."
        with running.rest("apikeys") as keys:
            assert len(keys.get(f"/v2/{GLOBAL}/keys/k/keyString").json()["keyString"]) == 39
        with running.rest("serviceusage") as usage:
            shown = usage.get(f"/v1/projects/{PROJECT}/services/{service}").json()
            assert shown["state"] == "DISABLED"  # known, and not enabled yet
