"""Between the scheduled program and compiled code: which statements share a kernel, and where every value lives."""
