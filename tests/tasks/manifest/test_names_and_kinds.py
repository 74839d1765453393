"""How long a service's name may be, and an app that has no service."""

from __future__ import annotations

import pytest

from tasks.manifest.loading import parse_manifest
from tests.tasks.manifest.test_flaws import problems
from tests.tasks.manifests import SMALL


def test_a_name_of_45_characters_has_room_for_a_tag_and_a_longer_one_says_where_it_is_asked() -> None:
    def with_name(length: int, more: str = "") -> str:
        return SMALL.replace("web:", f"web: {{name: {'s' * length}{more}}}")

    parse_manifest(with_name(45))
    (problem,) = problems(with_name(46))
    assert problem.startswith("slipway.yaml:3: services.web.name: has 46 characters and leaves no room for a tag")
    parse_manifest(with_name(49, ", health: {url: 'https://shop.example.com'}"))
    (problem,) = problems(with_name(46, ", health: {url: 'https://{tag}---shop.example.com'}"))
    assert "leaves no room for a tag" in problem
    (problem,) = problems(with_name(50, ", health: {url: 'https://shop.example.com'}"))
    assert "at most 49" in problem


ALONE = """app: shop
KIND: {tidy: {SAID}}
environments: {staging: {project: acme-staging, regions: [europe-west1]}}
"""


@pytest.mark.parametrize("kind", ["jobs", "worker_pools"])
def test_an_app_of_jobs_or_pools_alone_has_images_of_their_own(kind: str) -> None:
    parse_manifest(ALONE.replace("KIND", kind).replace("SAID", "source: work"))
    (problem,) = problems(ALONE.replace("KIND", kind).replace("SAID", ""))
    assert problem.endswith(
        f"{kind}.tidy: must have a source or an image: there is no service whose image it could run"
    )


def test_an_app_of_nothing_is_refused() -> None:
    (problem,) = problems(ALONE.replace("KIND: {tidy: {SAID}}", "services: {}"))
    assert "services: must name one at least, where there are neither jobs nor worker_pools" in problem
