"""The truth about releases: one record for each, in the app's bucket. Imports up to `request`.

Begin with `record` (the values, and what a history of them tells; pure). `store` reads records, `ledger` writes them.
"""
