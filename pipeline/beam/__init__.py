"""What touches Beam's own runner and options."""
