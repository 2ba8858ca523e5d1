"""Data card of a corpus: what it contains, and what in it could ruin a study."""
