"""Models: loaded, and seen as functions from images to activations."""
