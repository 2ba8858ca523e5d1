"""Tests of the package."""

import gc

# With the default threshold, importing all test modules takes a third longer: it visits their objects over and over.
gc.set_threshold(50_000, 10, 10)
