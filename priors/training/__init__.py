"""The training of priors on anyone's photos."""
