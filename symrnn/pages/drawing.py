"""Where the boxes and arrows of a diagram go."""

from __future__ import annotations

from dataclasses import dataclass

from symrnn.pages.document import Diagram, Node

STEP_X, STEP_Y, MARGIN = 118, 56, 36


@dataclass(frozen=True)
class Drawing:
    """Boxes with their centres, curves from edge to edge with their bend, all in pixels from the top left."""

    width: int
    height: int
    boxes: tuple[tuple[Node, int, int], ...]
    curves: tuple[tuple[tuple[float, float], tuple[float, float], float], ...]


def layout(diagram: Diagram) -> Drawing:
    """Columns from left to right, each centred; arrows that skip columns bend more."""
    columns: dict[int, list[Node]] = {}
    for node in diagram.nodes:
        columns.setdefault(node.column, []).append(node)
    tallest = max(len(c) for c in columns.values())
    places: dict[str, tuple[int, int]] = {}
    for number, nodes in columns.items():
        lean = STEP_Y // 4 if number % 2 else 0
        top = MARGIN + (tallest - len(nodes)) * STEP_Y // 2 + (lean if len(nodes) < tallest else 0)
        for k, node in enumerate(nodes):
            places[node.name] = (MARGIN + number * STEP_X, top + k * STEP_Y)
    curves = []
    for source, target in diagram.arrows:
        (x, y), (u, v) = places[source], places[target]
        curves.append(((x + 29.0, float(y)), (u - 30.0, float(v)), (u - x) * 0.42))
    boxes = tuple((n, *places[n.name]) for n in diagram.nodes)
    return Drawing(2 * MARGIN + max(columns) * STEP_X, 2 * MARGIN + (tallest - 1) * STEP_Y, boxes, tuple(curves))
