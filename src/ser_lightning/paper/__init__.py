"""A report as LaTeX: tables, a methods paragraph and a bibliography."""
