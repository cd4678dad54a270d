"""`python -m symrnn` is the `symrnn` command."""

from symrnn.cli.main import main

main()
