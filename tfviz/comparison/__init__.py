"""Methods compared on the same units, with the same budget."""
