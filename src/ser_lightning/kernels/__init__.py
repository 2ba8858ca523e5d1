"""C kernels for computations that are slow in NumPy, and the choice between them and their reference libraries."""
