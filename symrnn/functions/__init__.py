"""The functions a cell may call: one row each, and what they are worth on arrays."""
