"""The report of a comparison, written from `results.json` and the saved pictures."""
