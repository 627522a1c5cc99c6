"""Run an exported policy on a robot; needs NumPy and onnxruntime, no torch, MuJoCo or Gymnasium."""
