"""Which folder of the repository an image is built from: as the files say it, else as the repository suggests. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from tasks.describe.adopt.files.builds import same_image
from tasks.describe.adopt.files.knative import image_of
from tasks.describe.adopt.seen import Built, Seen
from tasks.describe.proposal import Found, inside

Has = Callable[[str], bool]  # whether there is such a file or folder, by its path below the root


def placed(seen: Sequence[Seen], builds: Sequence[Built], found: Sequence[Found], has: Has) -> list[Seen]:
    """With what each is built from. found: what the repository itself seems to hold."""
    plain = {each.source for each in found if each.dockerfile is None}  # which buildpacks build
    there = [
        each
        for each in builds
        if has(inside(each.source, each.dockerfile or "Dockerfile")) or (not each.dockerfile and each.source in plain)
    ]
    return [replace(each, built=_placed(each, there, found)) for each in seen]


def _placed(seen: Seen, builds: Sequence[Built], found: Sequence[Found]) -> Built | None:
    """An image that the files build themselves is no other's, be it named in full."""
    if seen.built:
        return _built(seen.built, seen.name, builds, found)
    built = _built(Built(image_of(seen.body)), seen.name, builds, ())
    return None if built.unsure else built


def _built(built: Built, name: str, builds: Sequence[Built], found: Sequence[Found]) -> Built:
    if not built.unsure:
        return built
    said = [each for each in builds if same_image(each.image, built.image)]
    if said and len({(each.source, each.dockerfile, each.target) for each in said}) == 1:
        return replace(said[0], image=built.image)
    places = {(each.source, each.dockerfile, each.target): each for each in builds}
    if not said and len(places) == 1:
        (only,) = places.values()
        return replace(only, image=built.image, unsure=True, why="It is what the files build.")
    if not said and (guess := _guess(built.image, name, found)):
        dockerfile = guess.dockerfile if guess.dockerfile not in (None, "Dockerfile") else ""
        args = guess.args
        return replace(built, source=guess.source, dockerfile=dockerfile or "", args=args, why=f"{_where(guess)}.")
    return built


def _where(found: Found) -> str:
    return f"{found.path} is here" if found.dockerfile else f"{found.source}/ has no Dockerfile, buildpacks build it"


def _guess(image: str, name: str, found: Sequence[Found]) -> Found | None:
    """The only one, or the one that is called as the service or the image is."""
    if len(found) == 1:
        return found[0]
    last = re.split(r"[:@]", image.rpartition("/")[2])[0]
    for words in (_words(last), _words(name)):
        fitting = [each for each in found if each.name and _words(each.name) and _words(each.name) <= words]
        longest = max((len(_words(each.name)) for each in fitting), default=0)
        best = [each for each in fitting if len(_words(each.name)) == longest]
        if len(best) == 1:
            return best[0]
    return None


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", text.lower()))
