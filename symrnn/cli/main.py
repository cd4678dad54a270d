"""The command `symrnn`: all commands, in the order in which --help shows them."""

from symrnn.cli import cells, check, demo, generate, pages
from symrnn.cli.application import app

__all__ = ["app", "cells", "check", "demo", "generate", "main", "pages"]


def main() -> None:
    """Entry point of the `symrnn` command."""
    app(prog_name="symrnn")
