"""Own what is said, keep the rest: the three-way merge, case by case and by its laws."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.spec.merge import leaves, merged, segments

Body = dict[str, Any]
FRESH: Body = {"containers": [{"resources": {"cpuIdle": True}}]}
MAIN: Body = {"image": "app:1", "ports": [{"containerPort": 8080}]}
PROXY: Body = {"name": "proxy", "image": "proxy:1", "resources": {"limits": {"cpu": "1"}}}
HTTP, TCP = {"httpGet": {"path": "/up"}, "periodSeconds": 5}, {"tcpSocket": {"port": 1}, "failureThreshold": 9}


def main(**fields: Any) -> Body:
    return {"containers": [{**MAIN, **fields}]}


def env(**values: str) -> list[Body]:
    return [{"name": name, "value": value} for name, value in values.items()]


@pytest.mark.parametrize(
    ("live", "before", "said", "then"),
    [
        (main(env=env(A="1")), [], main(env=env(B="2")), main(env=env(A="1", B="2"))),
        (main(env=env(A="1", B="2")), ["containers[].env[B]"], main(), main(env=env(A="1"))),
        (main(env=env(A="1")), ["containers[].env[A]"], main(), main()),
        (main(startupProbe=TCP), [], main(startupProbe=HTTP), main(startupProbe=HTTP)),
        ({**main(), "vpcAccess": {"connector": "c"}}, [], {"timeout": "9s"},
         {**main(), "vpcAccess": {"connector": "c"}, "timeout": "9s"}),
        ({"vpcAccess": {"connector": "c"}}, [], {"vpcAccess": {"networkInterfaces": [{"subnetwork": "s"}]}},
         {"vpcAccess": {"networkInterfaces": [{"subnetwork": "s"}]}}),
        (main(resources={"startupCpuBoost": True}), ["containers[].resources.cpuIdle"], main(),
         main(resources={"startupCpuBoost": True, "cpuIdle": True})),
        ({"containers": [PROXY, {**MAIN, "name": "app-1"}]}, [], {"containers": [{"image": "app:2"}]},
         {"containers": [PROXY, {**MAIN, "name": "app-1", "image": "app:2"}]}),
        ({"containers": [MAIN, {**PROXY, "env": env(A="1")}]}, ["containers[proxy].image"], main(), main()),
        ({"labels": {"a.b/c": "1", "env": "2"}}, ["labels[env]"], {"labels": {"x]y": "3"}},
         {"labels": {"a.b/c": "1", "x]y": "3"}}),
        (main(resources={"limits": {"nvidia.com/gpu": "1", "cpu": "4"}}), [], main(resources={"limits": {"cpu": "8"}}),
         main(resources={"limits": {"nvidia.com/gpu": "1", "cpu": "8"}})),
        ({"volumes": [{"name": "tmp", "emptyDir": {}}]}, ["scaling.maxInstanceCount"],
         {"scaling": {"minInstanceCount": 0}},
         {"volumes": [{"name": "tmp", "emptyDir": {}}], "scaling": {"minInstanceCount": 0}}),
        ({"containers": [{"image": "side:1", "command": ["run"]}, {**MAIN, "name": "nginx"}]}, [], main(image="app:2"),
         {"containers": [{"image": "side:1", "command": ["run"]}, {**MAIN, "name": "nginx", "image": "app:2"}]}),
        ({"containers": [{"image": "side:1", "command": ["run"]}, MAIN]}, [],
         {"containers": [MAIN, {"name": "sidecar-1", "image": "side:2"}]},
         {"containers": [{"name": "sidecar-1", "image": "side:2", "command": ["run"]}, MAIN]}),
        (main(volumeMounts=[{"name": "theirs", "mountPath": "/conf/"}]), [],
         main(volumeMounts=[{"name": "ours", "mountPath": "/conf"}]),
         main(volumeMounts=[{"name": "ours", "mountPath": "/conf"}])),
    ],
    ids=[
        "a variable is added", "and taken away", "the last one too", "of two forms of a probe one stays",
        "a network stays", "or is another", "what is not said any more is as it is for a new one",
        "containers go by name and port", "a sidecar goes whole", "keys of labels are the user's",
        "one limit of several", "an empty one stays",
        "a sidecar without a name stays", "which its place tells", "a folder is the same with a slash at its end",
    ],
)  # fmt: skip
def test_what_is_said_is_set_and_the_rest_stays(live: Body, before: list[str], said: Body, then: Body) -> None:
    assert merged(live, before, said, FRESH) == then


ENV = st.dictionaries(st.sampled_from("ABCDE"), st.text(max_size=3), max_size=4).map(lambda found: env(**found))
TEXTS = st.dictionaries(st.sampled_from(["a", "a.b/c", "x[y]", "env", "%5D"]), st.text(max_size=2), min_size=1)
CONTAINER = st.fixed_dictionaries(
    {"image": st.sampled_from(["app:1", "app:2"])},
    optional={
        "env": ENV.filter(bool),
        "startupProbe": st.sampled_from([HTTP, TCP]),
        "resources": st.fixed_dictionaries(
            {}, optional={"limits": TEXTS, "cpuIdle": st.just(True), "startupCpuBoost": st.booleans()}
        ),
        "command": st.lists(st.text(max_size=2), max_size=2),
    },
)
SIDECARS = st.lists(
    st.builds(lambda name, body: {"name": name, **body}, st.sampled_from(["proxy", "log"]), CONTAINER),
    max_size=2,
    unique_by=lambda container: str(container["name"]),
)
TEMPLATES = st.builds(
    lambda port, ingress, sidecars, rest: {
        "containers": [{"ports": [{"containerPort": port}], **ingress}, *sidecars],
        **rest,
    },
    st.integers(1, 9),
    CONTAINER,
    SIDECARS,
    st.fixed_dictionaries(
        {},
        optional={
            "labels": TEXTS,
            "timeout": st.sampled_from(["1s", "2s"]),
            "vpcAccess": st.sampled_from([{"connector": "c"}, {"egress": "ALL_TRAFFIC", "networkInterfaces": [{}]}]),
            "volumes": st.just([{"name": "v", "emptyDir": {}}]),
            "scaling": st.fixed_dictionaries({}, optional={"minInstanceCount": st.integers(0, 2)}),
        },
    ),
)


@given(TEMPLATES)
def test_where_nothing_is_said_nothing_changes(live: Body) -> None:
    assert merged(live, (), {}, FRESH) == live


@given(TEMPLATES, TEMPLATES, TEMPLATES)
def test_every_setting_is_as_said_or_as_it_was_or_was_said_no_more(live: Body, before: Body, said: Body) -> None:
    then, was, wanted = (leaves(each) for each in (merged(live, leaves(before), said, FRESH), live, said))
    gone = leaves(before).keys() - wanted.keys()
    for path, value in wanted.items():
        assert value == {} or value == then[path]
    for path in was.keys() - wanted.keys() - gone:
        sidecar = path.startswith(tuple(f"{each.removesuffix('.image')}." for each in gone if each.endswith("].image")))
        assert sidecar or then.get(path, was[path]) == was[path]
    for path in gone - leaves(FRESH).keys():
        assert path not in then or then[path] == {}


@given(TEMPLATES, TEMPLATES, TEMPLATES)
def test_the_same_again_changes_nothing(live: Body, before: Body, said: Body) -> None:
    once = merged(live, leaves(before), said, FRESH)
    assert merged(once, leaves(said), said, FRESH) == once


@given(st.text(min_size=1), st.text(min_size=1))
def test_a_path_keeps_the_users_own_keys(label: str, limit: str) -> None:
    for path in leaves({"labels": {label: "x"}}):
        assert segments(path) == ["labels", label]
    assert merged({"resources": {"limits": {limit: "1"}}}, (), {}, {}) == {"resources": {"limits": {limit: "1"}}}
