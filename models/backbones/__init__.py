"""Backbones: networks that turn a picture into features, each with its weights."""
