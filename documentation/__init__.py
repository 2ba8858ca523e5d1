"""The site: its pages are assembled from docs/, the configuration, the commands and the docstrings, and checked."""
