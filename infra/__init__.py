"""What Slipway runs on: `gcp` speaks to Google Cloud, `emulator` is a local one. Neither knows the other."""
