"""Which services go before which."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tasks.manifest.order import dependency_waves


@given(st.lists(st.lists(st.integers(0, 9), max_size=4), min_size=1, max_size=10))
def test_no_wave_ever_depends_on_itself_or_a_later_one(edges: list[list[int]]) -> None:
    services = {str(at): {str(to) for to in targets if to < at} for at, targets in enumerate(edges)}
    done: set[str] = set()
    for wave in dependency_waves(services):
        assert all(services[name] <= done for name in wave)
        done |= set(wave)
    assert done == services.keys()
