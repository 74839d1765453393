"""Real terraform under its guard."""
