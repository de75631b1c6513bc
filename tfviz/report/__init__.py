"""The report of a comparison, made from its results alone."""
