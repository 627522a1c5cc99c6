"""Training of policies: the loop, callbacks, TensorBoard, adaptive ranges."""

ADAPTIVE = ("adr", "doraemon", "curriculum")
"""The names of the methods of adaptive randomization."""
