"""The label sets, in order: the only definition of a class index."""

RAVDESS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
"""The eight emotions of RAVDESS; index = RAVDESS code - 1 (Livingstone & Russo 2018)."""
