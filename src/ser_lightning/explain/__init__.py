"""Explanations of a trained model: of its answer for a clip, its feature groups and its embeddings."""
