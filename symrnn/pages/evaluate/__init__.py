"""The numbers behind a page: a short random run with every derivative of it, and what a formula is worth there."""
