"""Runs: many pictures rendered into a folder, where an interrupted run goes on."""
