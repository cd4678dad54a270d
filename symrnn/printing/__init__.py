"""What targets share when they print: names, expressions, array code, the interface of a module."""
