"""Labelled pictures and films, and data sets of them."""
