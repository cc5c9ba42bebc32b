"""Networks that LiteRT cannot run."""

import pytest
import tensorflow as tf

from movie_tags.models.bundle import BundleError
from movie_tags.models.convert import to_tflite


def test_operations_that_litert_does_not_know_are_named():
    @tf.function(input_signature=[tf.TensorSpec([None, 32, 32, 3], tf.uint8, "canvas")])
    def cropping(canvas):
        boxes = tf.tile([[0.1, 0.1, 0.9, 0.9]], [tf.shape(canvas)[0], 1])
        middle = tf.image.crop_and_resize(tf.cast(canvas, tf.float32), boxes, tf.range(tf.shape(canvas)[0]), [8, 8])
        return {"probabilities": tf.nn.softmax(tf.reduce_mean(middle, [1, 2])[:, :1] * tf.ones([1, 5]))}

    with pytest.raises(BundleError, match="CropAndResize"):
        to_tflite(cropping, (32, 32))
