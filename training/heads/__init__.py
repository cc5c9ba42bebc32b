"""Classification heads on frozen features."""
