"""Readers of files that describe Cloud Run services; each makes a `Seen` with the body that its tool would send."""
