"""Conditions of recording, such as noise, codecs and rooms, that are applied to test recordings."""
