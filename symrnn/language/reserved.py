"""Names that a cell file may not use, and why."""

from __future__ import annotations

import keyword

from symrnn.functions.calls import STRUCTURAL
from symrnn.functions.table import ELEMENTWISE

KEYWORDS = ("input", "state", "param", "const", "output", "extends")
LONGEST = 60


def refused_definition(name: str) -> tuple[str, str] | None:
    """What is wrong with declaring or assigning a name, and what to do."""
    if keyword.iskeyword(name) or (keyword.issoftkeyword(name) and name == "_"):
        return f"{name} is a reserved word.", f"Write {name}_ instead."
    if name == "t":
        return "t is a reserved name: it is the step index.", "Choose another name."
    if name in KEYWORDS or name in ELEMENTWISE or name in STRUCTURAL:
        return f"{name} is a reserved name: it is a word of the language.", "Choose another name."
    return refused_name(name)


def refused_name(name: str) -> tuple[str, str] | None:
    """What is wrong with reading a name, and what to do; names that nothing defines are parameters."""
    if name in ELEMENTWISE or name in STRUCTURAL:
        return f"{name} is a function.", f"Call it: {name}(…)."
    if name in KEYWORDS:
        return f"{name} is a word of the language.", "Choose another name."
    if name.startswith("d_"):
        return f"{name} is a reserved name.", "Names starting with d_ are adjoints."
    if name.endswith("__"):
        return f"{name} is a reserved name.", "No name ends in two underscores."
    if len(name) > LONGEST:
        return "This name is too long.", f"{LONGEST} letters are enough."
    return None
