"""The optimization, from units to pictures."""
