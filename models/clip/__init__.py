"""Pairs of an image and a text model, CLIP and SigLIP, that users bring: any word as a tag."""
