"""Each kind of resource that clean-up knows, and who else needs such things: one file each.

Begin with `adapter` (what a kind is, and how to write one) and `registry` (which there are). May import `engine`.
"""
