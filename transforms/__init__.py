"""What happens to a video, one module a step, in the order of the data."""
