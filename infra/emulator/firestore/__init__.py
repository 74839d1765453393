"""Firestore: who may come is decided here, and everything else by Google's own emulator of it, where one runs."""
