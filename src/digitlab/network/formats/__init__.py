"""Model files of other programs, read by whitelist: TensorFlow.js, Keras and ONNX become a ``Checkpoint``."""
