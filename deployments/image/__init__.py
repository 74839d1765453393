"""The image of Slipway: for workers, for the containers that they start, and for Prefect's servers."""
