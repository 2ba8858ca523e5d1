"""Models as ONNX files: features, encoder, network or classical model in one graph."""
