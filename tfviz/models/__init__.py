"""Load models, and use them as functions from images to activations."""
