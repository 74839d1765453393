"""What a release costs: the price list, what is paid for, three figures, and the limit that an environment sets.

Begin with `estimate.py`, which is pure as `prices.py`, `shape.py` and `limit.py` are; `cost.py` asks Google. May import
rollout and what is below it.
"""
