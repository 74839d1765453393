"""One service from one revision to another.

Begin with `split` (what traffic to write; pure), `dark` (a revision at 0 %) and `shift` (step by step).
Imports up to `analysis`.
"""
