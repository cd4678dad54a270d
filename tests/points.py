"""Random points for tests: sizes, parameters, inputs and states of a cell."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from symrnn.language.cell import Cell, axis_size

PRIMES = (2, 3, 5, 7, 11, 13)


@dataclass(frozen=True)
class Point:
    """Arrays for one cell: `sizes` includes T and B; `dy` and `dstate` are cotangents."""

    sizes: dict[str, int]
    params: dict[str, np.ndarray]
    inputs: dict[str, np.ndarray]
    state: dict[str, np.ndarray]
    dy: dict[str, np.ndarray]
    dstate: dict[str, np.ndarray]

    @property
    def x(self) -> object:
        """The inputs as a generated module takes them."""
        return alone(self.inputs)

    def of(self, dtype: str) -> Point:
        """The same point with another element type."""
        groups = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "sizes"}
        return Point(self.sizes, **{g: {n: a.astype(dtype) for n, a in arrays.items()} for g, arrays in groups.items()})


def alone(arrays: dict[str, np.ndarray]) -> object:
    """Arrays as a generated module takes them: a single one by itself."""
    return arrays if len(arrays) > 1 else next(iter(arrays.values()))


def leaves(tree: object) -> list[np.ndarray]:
    """Every array of nested results, dicts in the order of their names."""
    if isinstance(tree, dict):
        tree = [tree[k] for k in sorted(tree)]
    return [x for t in tree for x in leaves(t)] if isinstance(tree, list | tuple) else [np.asarray(tree)]


def point(cell: Cell, steps: int = 4, batch: int = 3, seed: int = 0, scale: float = 0.5) -> Point:
    rng = np.random.default_rng(seed)
    sizes = dict(zip(cell.axes, PRIMES, strict=False))

    def draw(variables: object, *lead: int) -> dict[str, np.ndarray]:
        return {
            v.name: np.asarray(rng.standard_normal((*lead, *(axis_size(a, sizes) for a in v.axes))) * scale)
            for v in variables  # type: ignore[attr-defined]
        }

    return Point(
        sizes=sizes | {"T": steps, "B": batch},
        params=draw(cell.params),
        inputs=draw(cell.inputs, steps, batch),
        state=draw(cell.carries, batch),
        dy=draw(cell.outputs, steps, batch),
        dstate=draw(cell.carries, batch),
    )
