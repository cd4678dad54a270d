"""What values are called that lie side by side."""

from __future__ import annotations

from collections.abc import Sequence

#: Letters of the part in which joined names differ, and of the whole of their name.
MAX_JOINED, MAX_NAME = 18, 30


def together(names: Sequence[str], otherwise: str = "") -> str:
    """A name for values side by side: W_i, W_f, W_o are W_ifo, and with their tangents W_ifo_and_dot.

    What would be too long to read is called `otherwise`, or after the first and the last, or all.
    """
    if len({*names}) == 1:
        return names[0] + {1: "", 2: "_twice"}.get(len(names), f"_{len(names)}_times")
    plain = _without_tangents(names)
    head, middles, end = _apart([n.split("_") for n in plain])
    joined = ("" if all(len(m) <= 1 for m in middles) else "_").join(m for m in middles if m)
    ends = ("_and_" if len(plain) == 2 else "_to_").join(m for m in (middles[0], middles[-1]) if m)
    if len(plain) < len(names):
        head, end = (head, [*end, "and_dot"]) if plain[0] == names[0] else (["dot_and", *head], end)
    found = [joined] if len(joined) <= MAX_JOINED else []
    wholes = ["_".join(x for x in (*head, middle, *end) if x) for middle in (*found, ends, "all")]
    if otherwise and not found:
        wholes.insert(0, otherwise)
    return next((x for x in wholes if len(x) <= MAX_NAME), wholes[-1])


def _without_tangents(names: Sequence[str]) -> list[str]:
    """Without those that say of others that they are their tangents: dot_W beside W, dot_W_x_W beside W_x."""
    words = [n.split("_") for n in names]
    plain = [w for w in words if "dot" not in w]
    moved = [[x for k, x in enumerate(w) if k != w.index("dot")] for w in words if "dot" in w]
    paired = all(any(m[: len(w)] == w for w in plain) for m in moved)
    return ["_".join(w) for w in plain] if plain and paired else [*names]


def _apart(words: Sequence[list[str]]) -> tuple[list[str], list[str], list[str]]:
    """The words with which all begin, what stands between in each, and the words with which all end."""
    head = _shared_start(words) if len(words) > 1 else []
    tails = [w[len(head) :][::-1] for w in words]
    end = _shared_start(tails) if len(words) > 1 else []
    return head, ["_".join(t[len(end) :][::-1]) for t in tails], end[::-1]


def _shared_start(words: Sequence[list[str]]) -> list[str]:
    same = [len({*column}) == 1 for column in zip(*words, strict=False)]
    return words[0][: [*same, False].index(False)]
