"""From video to sampled frames: its picture, its clock, its decoder."""
