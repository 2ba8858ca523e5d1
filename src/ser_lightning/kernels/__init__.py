"""What is too slow in NumPy, written in C, and the choice between it and the libraries it is held to."""
