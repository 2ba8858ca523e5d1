"""The errors of a report as a page on which the recordings can be played."""
