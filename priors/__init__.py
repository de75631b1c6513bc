"""Learned priors: params whose decoder is a trained network.

There are none in this version; a `tfviz.params.Param` of your own can be one.
"""
