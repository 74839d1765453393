"""Cloud Storage: objects and buckets."""
