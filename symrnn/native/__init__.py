"""Compilers, their store of libraries, and CUDA on a processor."""
