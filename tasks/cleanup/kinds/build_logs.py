"""Build logs, as Cloud Build writes them into the bucket."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from infra.gcp import builds
from tasks.cleanup.engine.model import Kind
from tasks.cleanup.kinds.adapter import Found, Look
from tasks.cleanup.kinds.stored_files import StoredFiles
from tasks.model import Request
from tasks.orchestration.gather import all_of

BUILD_LOG = Kind("build log")
PREFIX = "logs/log-"  # where Cloud Build puts them: see tasks.builds.recipe


class BuildLogs(StoredFiles):
    kind = BUILD_LOG

    async def within(self, requests: Sequence[Request], look: Look) -> Found:
        """Logs of the app's own builds: several apps may share the bucket, and the file does not say whose it is."""
        bucket = requests[0].settings.bucket
        found = await self.files(look, bucket, PREFIX, lambda _: look.app)
        made, of_builds = await look.listed(f"builds for {bucket}", _finished, requests)
        ours = {f"gs://{bucket}/{PREFIX}{build}.txt" for build in made}
        items = tuple(item for item in found.items if item.name in ours)
        return replace(found, items=items, listings=(*found.listings, of_builds))


async def _finished(requests: Sequence[Request]) -> Sequence[str]:
    """The ids of the app's builds that have ended, wherever its environments build."""
    places = dict.fromkeys((request.project, request.build_region) for request in requests)
    found = await all_of([builds.list_builds(*place, f'tags="app-{requests[0].app}"') for place in places])
    return [each.id for some in found for each in some if each.finished]
