"""The whole set of services and regions as one unit: released, promoted, rolled back, reconciled.

Begin with `release`. Imports up to `rollout`.
"""
