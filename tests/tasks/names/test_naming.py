"""Names fit Google's rules and tell different inputs apart, for every version there is."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tasks.failures.errors import ManifestError
from tasks.names import naming
from tasks.names.labels import label_value

_NUMBER = st.integers(0, 10**6).map(str)
_IDENTIFIER = st.from_regex(r"[0-9A-Za-z-]{1,12}", fullmatch=True)
_PRERELEASE = st.one_of(_NUMBER, _IDENTIFIER.filter(lambda text: not text.isdigit()))


def _joined(identifiers: st.SearchStrategy[str], sign: str) -> st.SearchStrategy[str]:
    return st.lists(identifiers, max_size=6).map(lambda parts: sign + ".".join(parts) if parts else "")


VERSIONS = st.builds(
    "v{}.{}.{}{}{}".format, _NUMBER, _NUMBER, _NUMBER, _joined(_PRERELEASE, "-"), _joined(_IDENTIFIER, "+")
)
SERVICES = st.from_regex(r"[a-z]([a-z0-9-]{0,40}[a-z0-9])?", fullmatch=True)
GIVEN = st.from_regex(r"[a-z]([a-z0-9-]{0,47}[a-z0-9])?", fullmatch=True)
DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64)

IMAGE_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
LABEL = re.compile(r"[a-z0-9_-]{0,63}")
DNS_LABEL = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")


@given(st.text())
@example("v1.0.0-" + "x" * 200)
def test_an_image_tag_is_valid_for_any_text(text: str) -> None:
    assert IMAGE_TAG.fullmatch(naming.image_tag(text))


@given(st.text())
@example("A" * 64)
def test_a_label_value_is_valid_for_any_text(text: str) -> None:
    assert LABEL.fullmatch(label_value(text))


@given(GIVEN, VERSIONS, DIGESTS)
@example("s" * 49, "v1.4.0", "0" * 64)
def test_a_revision_name_is_a_dns_label_under_its_service(service: str, version: str, digest: str) -> None:
    name = naming.revision_name(service, version, digest)
    assert DNS_LABEL.fullmatch(name)
    assert name.startswith(f"{service}-")


@given(GIVEN, VERSIONS)
@example("s" * 42, "v1.4.0")
@example("s" * 43, "v1.4.0")
@example("s" * 45, "v1.4.0")
@example("s" * 46, "v1.4.0")
@example("s" * 49, "v1.4.0")
def test_a_traffic_tag_is_valid_and_leaves_room_for_its_service(service: str, version: str) -> None:
    tags = list(naming.traffic_tags(service, version))
    assert tags[0] == naming.traffic_tag(service, version)
    assert all(DNS_LABEL.fullmatch(tag) and len(tag) + len(service) <= 46 for tag in tags if tag)
    assert ("" in tags) is (len(service) >= 46)


@pytest.mark.parametrize(("length", "different"), [(38, 1), (42, 36), (43, 36), (44, 30), (45, 15), (46, 1), (49, 1)])
def test_a_long_name_has_many_short_tags_to_choose_from(length: int, different: int) -> None:
    assert len(set(naming.traffic_tags("s" * length, "v1.4.0"))) >= different


def test_the_tag_of_a_name_of_42_characters_stays_what_it_was() -> None:
    assert naming.traffic_tag("s" * 42, "v1.4.0") == "v" + naming._digest("v1.4.0")[:3]


@given(VERSIONS, VERSIONS, SERVICES, DIGESTS)
@example("v1.4.0-dev.1", "v1.4.0-dev-1", "shop-api", "0" * 64)
@example("v1.4.0-RC1", "v1.4.0-rc1", "shop-api", "0" * 64)
@example("v1.4.0+5", "v1.4.0+6", "shop-api", "0" * 64)
@example("v1.4.0+5.1", "v1.4.0+5-1", "shop-api", "0" * 64)
@example("v1.4.0-a.0", "v1.4.0-a-0", "s" * 38, "0" * 64)
def test_different_versions_have_different_names(one: str, other: str, service: str, digest: str) -> None:
    assume(one != other)
    assert naming.image_tag(one) != naming.image_tag(other)
    assert label_value(one) != label_value(other)
    assert naming.traffic_tag(service, one) != naming.traffic_tag(service, other)
    assert naming.revision_name(service, one, digest) != naming.revision_name(service, other, digest)


@given(SERVICES, VERSIONS, DIGESTS, DIGESTS)
def test_another_configuration_is_another_revision(service: str, version: str, one: str, other: str) -> None:
    assume(one != other)
    assert naming.revision_name(service, version, one) != naming.revision_name(service, version, other)


@given(st.text(), st.text())
@example("feature_x", "feature.x")
@example("a+b", "a..b")
@example("ä", "ö")
def test_different_texts_have_different_label_values(one: str, other: str) -> None:
    assume(one != other)
    assert label_value(one) != label_value(other)


@pytest.mark.parametrize(
    ("version", "tag", "label", "traffic"),
    [
        ("v1.4.0", "v1.4.0", "v1_4_0", "v1-4-0"),
        ("v1.5.0-rc.1", "v1.5.0-rc.1", "v1_5_0-rc_1", "v1-5-0-rc-1"),
        ("v1.4.0-dev.g0613260", "v1.4.0-dev.g0613260", "v1_4_0-dev_g0613260", "v1-4-0-dev-g0613260"),
        ("v1.2.3+build.5", "v1.2.3_build.5", "v1_2_3__build_5", "v1-2-3-build-5-4e95c377"),
    ],
    ids=["release", "pre-release", "development", "build metadata"],
)
def test_the_usual_versions_stay_readable(version: str, tag: str, label: str, traffic: str) -> None:
    assert naming.image_tag(version) == tag
    assert label_value(version) == label
    assert naming.traffic_tag("shop-api", version) == traffic


def test_a_long_service_name_still_leaves_a_traffic_tag() -> None:
    assert re.fullmatch(r"v[0-9a-f]{7}", naming.traffic_tag("s" * naming.SERVICE_LIMIT, "v1.4.0-dev.g0613260"))
    assert naming.traffic_tag("s" * naming.SERVICE_LIMIT, "v1.4.0") == "v1-4-0"


@given(st.dictionaries(st.text(), st.one_of(st.none(), st.booleans(), st.integers(), st.text()), max_size=8))
def test_the_order_of_keys_does_not_change_a_digest(config: dict[str, object]) -> None:
    digest = naming.config_digest(config)
    assert digest == naming.config_digest(dict(reversed(config.items())))
    assert digest != naming.config_digest(config | {"another": [1]})


def test_a_digest_is_the_same_in_every_process() -> None:
    expected = "1c75ca0fb5cb05752e572bdec0653f9343f35cd072784fca9291190ded8661d7"
    assert naming.config_digest({"memory": "512Mi", "env": {"LANG": "de"}}) == expected


def test_a_service_is_named_after_its_app() -> None:
    assert naming.service_name("storefront", "api") == "storefront-api"


def test_a_name_without_room_for_a_traffic_tag_is_refused() -> None:
    naming.service_name("a" * 30, "b" * 7)
    with pytest.raises(ManifestError, match="has 39 characters; 38 are possible"):
        naming.service_name("a" * 30, "b" * 8)


def test_the_url_variable_is_a_legal_environment_variable() -> None:
    assert naming.url_variable("price-list") == "PRICE_LIST_URL"
