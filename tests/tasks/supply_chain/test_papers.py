"""Where images come from and what is in them: what is written, what is exported, and what nobody can tell."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.cloud import service_usage_v1, storage
from google.cloud.devtools import cloudbuild_v1
from prefect.logging import disable_run_logger

from infra.emulator.builds.provenance import notes
from infra.gcp.artifacts.papers import Provenance, provenance_of
from tasks.manifest.scan import Scan
from tasks.model import Image
from tasks.supply_chain.papers import NAMED, Papers, look_at_papers, origin, problems
from tests.conftest import PROJECT, LocalCloud
from tests.infra.emulator.discovery import assert_conforms
from tests.infra.emulator.emulated_registry import HOST, OciClient, image_name, layer_of, new_repository, rest
from tests.tasks.supply_chain.test_gate import API, JINJA, push

COMMIT, OTHER = "a" * 40, "b" * 40
SOURCE = "gs://acme-prod-slipway/sources/shop/api/abc.tar.gz"
DIGEST = f"sha256:{'1' * 64}"
OURS = Image("api", "europe-west1-docker.pkg.dev/acme/shop/api", DIGEST, "v1", source=SOURCE)
ELSEWHERE = Image("api", "europe-west1-docker.pkg.dev/acme/shop/api", DIGEST, "v1")


def made(digest: str = DIGEST, commit: str = "", source: str = "", said: str = "") -> Provenance:
    substitutions = {"COMMIT_SHA": said} if said else {}
    return Provenance(
        "builder", "build", frozenset({digest}), frozenset({commit} - {""}), frozenset({source} - {""}), substitutions
    )


@pytest.mark.parametrize(
    ("image", "found", "named"),
    [
        (OURS, [], False),
        (OURS, [made(digest=f"sha256:{'2' * 64}", commit=COMMIT)], False),
        (OURS, [made(commit=COMMIT)], True),
        (OURS, [made(said=COMMIT)], True),
        (OURS, [made(said=OTHER, source=SOURCE)], True),
        (OURS, [made(said=OTHER, source="gs://acme-prod-slipway/sources/shop/api/def.tar.gz")], False),
        (OURS, [made()], False),
        (OURS, [made(commit=OTHER), made(commit=COMMIT)], True),
        (ELSEWHERE, [made(commit=OTHER)], True),
        (ELSEWHERE, [], False),
    ],
    ids=["none", "of another image", "our commit", "told by the build", "built before of the same content",
         "of another source", "of no source", "one of two", "built elsewhere", "built elsewhere by nobody"],
)  # fmt: skip
def test_provenance_must_name_our_digest_and_our_source(image: Image, found: list[Provenance], named: bool) -> None:
    why, by = origin(image, COMMIT, found)
    assert (why == NAMED) is named
    assert why != NAMED or by in found


@pytest.mark.parametrize(
    ("rules", "many"), [({}, 0), ({"provenance": "require"}, 1), ({"sbom": "require", "provenance": "require"}, 2)]
)
def test_what_is_missing_is_refused_where_it_is_required(rules: dict[str, str], many: int) -> None:
    found = {"image": Papers(provenance="nobody has noted where it comes from", without="it was not scanned")}
    assert len(list(problems(found, Scan.model_validate(rules)))) == many


@pytest.fixture
def scanning(cloud: LocalCloud, cloud_env: dict[str, str]) -> Iterator[LocalCloud]:
    usage = service_usage_v1.ServiceUsageClient()
    usage.enable_service(request={"name": API}).result()
    yield cloud
    usage.disable_service(request={"name": API}).result()
    cloud.put("/latency", {"stages": {"artifacts.sbom": 0}})


async def papers_of(reference: str, wait_s: float = 30.0) -> Papers:
    uri, _, digest = reference.partition("@")
    with disable_run_logger():
        rules = Scan.model_validate({"wait": f"{wait_s:g}s"})
        found: Papers = await look_at_papers.fn(Image("app", uri, digest, "v1", built=False), rules, COMMIT)  # type: ignore[attr-defined]
    return found


def read(location: str) -> str:
    bucket, _, name = location.removeprefix("gs://").partition("/")
    return str(storage.Client().bucket(bucket).blob(name).download_as_text())


async def test_the_bill_of_materials_is_exported_waited_for_and_named(scanning: LocalCloud, tmp_path: Path) -> None:
    scanning.put("/latency", {"stages": {"artifacts.sbom": 1.0}})
    image = push(scanning, JINJA)
    found = await papers_of(image)
    assert found.bill is not None and found.without == ""
    text = read(found.bill.location)
    said = json.loads(text)
    assert (said["spdxVersion"], said["packages"][1]["name"]) == ("SPDX-2.3", "jinja2")
    assert said["packages"][1]["externalRefs"][0]["referenceLocator"] == "pkg:pypi/jinja2@3.1.2"
    assert (found.provenance, found.by) == ("nobody has noted where it comes from", None)
    parse = pytest.importorskip("spdx_tools.spdx.parser.parse_anything")
    validate = pytest.importorskip("spdx_tools.spdx.validation.document_validator").validate_full_spdx_document
    (tmp_path / "bill.spdx.json").write_text(text)
    assert validate(parse.parse_file(str(tmp_path / "bill.spdx.json"))) == []


async def test_of_an_index_it_is_the_image_that_runs_whose_bill_there_is(scanning: LocalCloud) -> None:
    oci, name = OciClient(scanning), image_name(new_repository())
    with oci.http:
        child = oci.push(name, "child", layer=layer_of(JINJA))  # type: ignore[arg-type]
        index = oci.push_index(name, "v1", {"amd64": child})
    found = await papers_of(f"{HOST}/{name}@{index}")
    assert found.bill is not None and found.bill.subjects == {child}


async def test_of_what_was_not_scanned_there_is_no_bill(cloud: LocalCloud, cloud_env: dict[str, str]) -> None:
    found = await papers_of(push(cloud, JINJA), 1.0)
    assert found.bill is None
    assert found.without.startswith("its bill of materials cannot be had")


@pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")
@pytest.mark.timeout(600)
async def test_gcloud_lists_what_was_exported_and_loads_what_others_made(scanning: LocalCloud, tmp_path: Path) -> None:
    image = push(scanning, JINJA)
    found = await papers_of(image)
    assert found.bill is not None

    def gcloud(*arguments: str) -> str:
        command = ["gcloud", "artifacts", "sbom", *arguments, "--quiet"]
        done = subprocess.run(command, env=scanning.env, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout

    bill = {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "components": []}
    (tmp_path / "bom.json").write_text(json.dumps(bill))
    gcloud("load", f"--source={tmp_path / 'bom.json'}", f"--uri={image}")
    listed = json.loads(gcloud("list", f"--resource={image}", "--format=json"))
    kinds = {each["occ"]["sbomReference"]["payload"]["predicate"]["mimeType"]: each["file_info"] for each in listed}
    assert kinds == {
        "application/spdx+json": {"exists": True},
        "application/vnd.cyclonedx+json": {"exists": True},
    }


async def test_what_is_noted_of_an_image_has_the_form_of_googles(scanning: LocalCloud) -> None:
    image = push(scanning, JINJA)
    found = await papers_of(image)
    assert found.bill is not None
    with rest(scanning, "containeranalysis") as api:
        path = f"/v1/projects/{PROJECT}/occurrences"
        query = {"filter": f'resourceUrl = "https://{image}"'}
        listed = api.get(path, params=query).raise_for_status().json()["occurrences"]
        kinds = {each["kind"]: each for each in listed}
        assert kinds.keys() == {"DISCOVERY", "SBOM_REFERENCE"}
        assert kinds["DISCOVERY"]["discovery"]["sbomStatus"] == {"sbomState": "COMPLETE"}
        again = api.post(f"/v1/projects/{PROJECT}/resources/https://{image}:exportSBOM", json={})
        assert again.json() == {"discoveryOccurrence": kinds["DISCOVERY"]["name"]}
        reference = {"payload": {"predicate": {"location": "gs://b/o"}}, "payloadType": "application/vnd.in-toto+json"}
        body = {"resourceUri": f"https://{image}", "noteName": f"projects/{PROJECT}/notes/not-there"}
        missing = api.post(path, json={**body, "sbomReference": reference})
        assert (missing.status_code, missing.json()["error"]["status"]) == (404, "NOT_FOUND")
        assert api.post(path, json=body).status_code in (400, 404)


def a_build(**more: object) -> object:
    build = cloudbuild_v1.Build.pb()(
        name=f"projects/{PROJECT}/locations/europe-west1/builds/b1",
        id="b1",
        substitutions={"COMMIT_SHA": COMMIT},
        **more,
    )
    build.results.images.add(name=f"{OURS.uri}:v1", digest=DIGEST)
    return build


@pytest.mark.parametrize(
    ("trigger", "forms"),
    [("", {"intoto_b1": "intotoStatement"}),
     ("t1", {"intoto_b1": "intotoStatement", "intoto_slsa_v1_b1": "inTotoSlsaProvenanceV1"})],
    ids=["asked for by its API", "by a trigger"],
)  # fmt: skip
def test_provenance_has_the_forms_of_googles(trigger: str, forms: dict[str, str]) -> None:
    """Of what no trigger has built there is only the earlier one; each will do."""
    storage = {"storage_source": {"bucket": "b", "object_": "sources/x.tar.gz", "generation": 17}}
    noted = notes(a_build(source=storage, build_trigger_id=trigger), 42)
    assert {name: next(iter(said)) for name, said in noted.items()} == forms
    for said in noted.values():
        answer = {
            "occurrences": [{"name": "projects/p/occurrences/o", "kind": "BUILD", "build": without_a_build(said)}]
        }
        assert_conforms("containeranalysis.v1", "GET", "/v1/projects/p/occurrences", answer)
        found = provenance_of(said)
        assert found is not None
        assert found.build.endswith("/locations/europe-west1/builds/b1")
        assert found.subjects == {DIGEST}
        assert found.sources == {"gs://b/sources/x.tar.gz"}
        assert found.builder.startswith("https://cloudbuild.googleapis.com/GoogleHostedWorker")
        assert origin(OURS, COMMIT, [found])[0] == NAMED


def without_a_build(said: dict[str, Any]) -> dict[str, Any]:
    """Google packs the whole build into an Any, whose type another of its APIs describes."""
    found = copy.deepcopy(said)
    if (statement := found.get("intotoStatement")) is not None:
        assert statement["slsaProvenance"]["recipe"].pop("arguments")["@type"].endswith("cloudbuild.v1.Build")
    return found


def test_a_commit_that_git_was_read_at_is_told_in_either_form() -> None:
    git = {"git_source": {"url": "https://github.com/acme/shop", "revision": OTHER}}
    found = [provenance_of(said) for said in notes(a_build(source=git, build_trigger_id="t1"), 42).values()]
    assert [each.commits for each in found if each] == [frozenset({OTHER})] * 2


def test_what_is_noted_in_no_form_of_slsa_says_nothing() -> None:
    assert provenance_of({"provenance": {"id": "b1"}}) is None
