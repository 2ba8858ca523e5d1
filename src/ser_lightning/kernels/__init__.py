"""What is too slow in NumPy, written in C; it knows nothing of speech and imports nothing of ours but errors."""
