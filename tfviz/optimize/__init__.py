"""From units to pictures: the optimization and what drives it."""
