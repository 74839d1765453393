"""The truth about releases: one record for each, in the app's bucket. Begin with `record`. Imports up to `request`."""
