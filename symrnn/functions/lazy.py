"""Libraries that take long to import, for tables that are mostly asked for names."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class Lazy:
    """A library, imported when something of it is first used."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(import_module(self.name), attribute)
