"""From sampled frames to shots and their key frames."""
