"""Cloud Asset Inventory: what there is in a project, of every kind that the local cloud keeps beside Cloud Run.

Begin with `inventory.py`; `api.py` is the search. May import whatever has something to be found.
"""
