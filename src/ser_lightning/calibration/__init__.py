"""Calibration of probabilities, rejection of uncertain answers and prediction sets; numpy and scipy only."""
