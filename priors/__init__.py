"""Learned priors: params whose decoder is a trained network.

The folder's place in the package; no prior is in this version.
"""
