"""Formats a page can be printed in, one module each: NAME of the module, SUFFIX of its files, and `render`."""
