"""Tests of the package."""

import gc

# With the default threshold, importing all test modules takes a third more time: their objects are visited again and again.
gc.set_threshold(50_000, 10, 10)
