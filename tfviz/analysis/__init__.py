"""What a model responds to, found by showing it images."""
