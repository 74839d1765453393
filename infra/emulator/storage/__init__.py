"""Cloud Storage: its JSON, XML and upload interfaces over one set of objects."""
