"""Predict recordings over HTTP."""
