"""Training of policies: the loop, callbacks, TensorBoard, adaptive ranges."""
