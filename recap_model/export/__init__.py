"""Export for serving: a torch program, an ONNX graph and its metadata."""
