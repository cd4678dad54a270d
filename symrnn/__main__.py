"""`python -m symrnn` is the `symrnn` command."""

from symrnn.cli import main

main()
