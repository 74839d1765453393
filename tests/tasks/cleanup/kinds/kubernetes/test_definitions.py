"""The manifests of a commit, and what is refused of them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tasks.cleanup.kinds.kubernetes.definitions import definitions, parsed
from tasks.cleanup.kinds.kubernetes.things import Identity
from tasks.failures.errors import SourceError

DEPLOYMENT = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: shop}\n"
MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=T", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


async def test_they_are_read_at_the_commit_and_not_as_they_lie_there(tmp_path: Path) -> None:
    folder = tmp_path / "app"
    (folder / "k8s/sub").mkdir(parents=True)
    (folder / "k8s/a.yaml").write_text(DEPLOYMENT + "---\n" + MAP)
    (folder / "k8s/sub/b.yml").write_text(
        "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Secret, metadata: {name: s}}\n"
    )
    (folder / "k8s/README.md").write_text("{{ no manifest }}")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "then")
    (folder / "k8s/a.yaml").unlink()
    git(tmp_path, "commit", "-qam", "now")
    found = await definitions(folder, git(tmp_path, "rev-parse", "HEAD~1"), "k8s")
    assert set(found) == {
        Identity("apps", "Deployment", "shop", "web"),
        Identity("", "ConfigMap", "", "a"),
        Identity("", "Secret", "", "s"),
    }
    assert await definitions(folder, "HEAD", "elsewhere") == ()
    with pytest.raises(SourceError):
        await definitions(folder, "0" * 40, "k8s")
    (folder / "k8s/kustomization.yaml").write_text("resources: [a.yaml]\n")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "rendered")
    with pytest.raises(ValueError, match="has to be rendered first"):
        await definitions(folder, "HEAD", "k8s")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: {{ .Values.x }}\nb: [", "line 1 is no plain YAML|no plain YAML"),
        ("just: text", "no object of Kubernetes"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: a-}", "no name of its own"),
    ],
    ids=["template", "other", "nameless"],
)
def test_what_is_no_manifest_is_an_error(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        list(parsed("k8s/a.yaml", text))
