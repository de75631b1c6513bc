"""Analyse how a model responds to images."""
