"""Putting a network to work elsewhere: TensorFlow.js, Keras and ONNX files, written, read back and verified."""
