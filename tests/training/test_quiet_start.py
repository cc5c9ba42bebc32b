"""Learning from corrections brings no TensorFlow; where training does, it starts without a remark."""

import os
import subprocess
import sys

CODE = """
import sys
import movie_tags.training.guessing, movie_tags.training.learning
assert "tensorflow" not in sys.modules
import keras
assert "tensorflow" in sys.modules
"""


def test_tensorflow_comes_only_when_needed_and_quietly():
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
