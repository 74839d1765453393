"""What things are called in Google Cloud: tags, revisions, labels. Imports `failures`."""
