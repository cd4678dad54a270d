"""Text → Cell: the only door for text, and what is said where it cannot be understood."""
