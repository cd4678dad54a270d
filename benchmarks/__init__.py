"""Measurements against peers."""

import os

for library in ("OPENBLAS", "OMP", "MKL"):  # one thread for every peer; read when its library is first imported
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")
