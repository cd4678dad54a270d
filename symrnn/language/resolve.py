"""Draft → names with roles: who is what, who comes before whom, what is misspelt or never used."""

from __future__ import annotations

from dataclasses import dataclass

from symrnn.errors import CellError
from symrnn.language.cell import Axes, Equation, Name, axis_parts, walk
from symrnn.language.draft import Declaration, Draft
from symrnn.language.hints import VARIANTS, glued, in_doubt
from symrnn.language.likeness import nearest
from symrnn.language.proposals import AXES, free_axes, free_name, likely_axis, with_input


@dataclass(frozen=True)
class Resolved:
    """The declarations and equations of a cell whose names all have a role."""

    draft: Draft
    declared: dict[str, Declaration]
    params: tuple[str, ...]
    outputs: tuple[str, ...]
    axes: tuple[str, ...]
    delays: dict[str, int]


def merge(base: Draft, child: Draft) -> Draft:
    """The child's equations and declarations over those of the cell it extends."""
    equations = {e.name: e for e in base.equations}
    declarations = {(d.kind == "output", d.name): d for d in base.declarations}
    if any(d.kind == "output" for d in child.declarations):
        declarations = {k: d for k, d in declarations.items() if not k[0]}
    for declaration in child.declarations:
        declarations[declaration.kind == "output", declaration.name] = declaration
    _assigned(child, _declared(child))
    for equation in child.equations:
        old = equations.get(equation.name)
        keep = equation.meaning or (old.meaning if old else "")
        equations[equation.name] = Equation(equation.name, equation.expr, equation.text, keep, equation.place)
    merged = _without_unread_params(list(declarations.values()), list(equations.values()))
    ordered = _ordered(list(equations.values()))
    return Draft(child.name, child.source, child.start, child.title or base.title, base.name, None, merged, ordered)


def _without_unread_params(declarations: list[Declaration], equations: list[Equation]) -> list[Declaration]:
    read = {n.name for e in equations for n in walk(e.expr) if isinstance(n, Name)}
    return [d for d in declarations if d.kind not in ("param", "const") or d.name in read]


def _ordered(equations: list[Equation]) -> list[Equation]:
    """Declaration order, except that an equation waits for the values it reads."""
    waiting, done = list(equations), []
    assigned = {e.name for e in equations}
    ready: set[str] = set()
    while waiting:
        chosen = next((e for e in waiting if _reads(e) & assigned <= ready), waiting[0])
        waiting.remove(chosen)
        done.append(chosen)
        ready.add(chosen.name)
    return done


def _reads(equation: Equation) -> set[str]:
    return {n.name for n in walk(equation.expr) if isinstance(n, Name) and n.delay == 0}


def resolve(draft: Draft) -> Resolved:
    """Give every name its role; raises CellError for whatever is undefined, unused, misspelt or out of order."""
    if not draft.equations:
        place = draft.declarations[-1].place if draft.declarations else draft.start
        raise CellError("empty", place, "The file holds no equation.", "Write name = expression.")
    declared = _declared(draft)
    if not any(d.kind == "input" for d in draft.declarations):
        raise _without_input(draft)
    assigned = _assigned(draft, declared)
    axes = tuple(dict.fromkeys(part for d in draft.declarations for a in d.axes for part in axis_parts(a)))
    for equation in draft.equations:
        if equation.name in axes:
            raise CellError(
                "reserved", equation.place, f"{equation.name} is the name of an axis.", "Rename one of them."
            )
    for name in axes:
        if name in declared:
            raise CellError(
                "reserved", declared[name].place, f"{name} is also the name of an axis.", "Rename one of them."
            )
    params, delays = _classify(draft, declared, assigned, axes)
    kept = [f"{name}_lag{lag}" for name, delay in delays.items() for lag in range(1, delay)]
    _refuse_kept(kept, draft)
    _refuse_twins(draft, [*declared, *assigned, *params, *axes])
    outputs = _outputs(draft, declared, assigned)
    _check_states(draft, assigned)
    _check_undeclared(draft, declared, assigned, params, axes, kept)
    _check_used(draft, declared, outputs)
    ordered = tuple(dict.fromkeys([*(d.name for d in draft.declarations if d.kind == "param"), *params]))
    return Resolved(draft, declared, _by_first_read(draft, ordered), outputs, axes, delays)


def _without_input(draft: Draft) -> CellError:
    """An error that shows an input and how it is read."""
    taken = _names(draft)
    axes = next((d.axes for d in draft.declarations if d.kind == "state"), ())
    if len(axes) == 1 or not any(d.kind == "state" for d in draft.declarations):
        axes = (next(free_axes(taken, "I" + AXES)),)
    x = free_name("x", taken)
    lines = f"input {x}[{', '.join(axes)}] and {_reading(draft, x, axes)}"
    advice = f"It needs one that an equation reads: write {lines}."
    return CellError("input", draft.equations[0].place, "The cell declares no input.", advice)


def _reading(draft: Draft, x: str, axes: Axes) -> str:
    """The equation of a state, or the last of a cell without states, that reads an input along these axes as well."""
    states = {d.name: d.axes for d in draft.declarations if d.kind == "state"}
    equation = next((e for e in draft.equations if e.name in states), draft.equations[-1])
    return with_input(equation, states.get(equation.name, axes), x, axes, _names(draft))


def _names(draft: Draft) -> set[str]:
    """Every name of a file, those of axes among them."""
    read = {n.name for e in draft.equations for n in walk(e.expr) if isinstance(n, Name)}
    axes = {part for d in draft.declarations for a in d.axes for part in axis_parts(a)}
    return read | axes | {d.name for d in draft.declarations} | {e.name for e in draft.equations}


def _declared(draft: Draft) -> dict[str, Declaration]:
    declared: dict[str, Declaration] = {}
    for d in draft.declarations:
        if d.kind == "output":
            continue
        if d.name in declared:
            raise CellError("twice", d.place, f"{d.name} is declared twice.")
        if d.kind == "const" and not d.start:
            raise CellError("syntax", d.place, "A const needs its number.", f"Write const {d.name} = 1e-5.")
        declared[d.name] = d
    return declared


def _assigned(draft: Draft, declared: dict[str, Declaration]) -> dict[str, int]:
    assigned: dict[str, int] = {}
    for k, equation in enumerate(draft.equations):
        if equation.name in assigned:
            raise CellError(
                "twice", equation.place, f"{equation.name} is assigned twice.", "Give the second value a name."
            )
        kind = declared[equation.name].kind if equation.name in declared else ""
        if kind in ("input", "param", "const"):
            raise CellError(
                "assigned", equation.place, f"{equation.name} is declared as {kind} and cannot be assigned."
            )
        assigned[equation.name] = k
    return assigned


def _classify(
    draft: Draft, declared: dict[str, Declaration], assigned: dict[str, int], axes: tuple[str, ...]
) -> tuple[list[str], dict[str, int]]:
    """Undeclared parameters in order of appearance, and the longest delay at which each name is read."""
    params: list[str] = []
    delays: dict[str, int] = {}
    for k, equation in enumerate(draft.equations):
        for node in walk(equation.expr):
            if not isinstance(node, Name):
                continue
            kind = declared[node.name].kind if node.name in declared else ""
            if node.delay:
                if node.name not in assigned and kind not in ("input", "state"):
                    raise _no_past(node, assigned, declared)
                delays[node.name] = max(delays.get(node.name, 0), node.delay)
            elif node.name in assigned:
                if assigned[node.name] >= k:
                    raise _too_early(draft, node, assigned)
            elif kind == "state":
                raise CellError(
                    "unassigned", node.place, f"The state {node.name} is never assigned.", "Add its equation."
                )
            elif not kind and node.name != "t" and node.name not in axes and node.name not in params:
                params.append(node.name)
    return params, delays


def _refuse_kept(kept: list[str], draft: Draft) -> None:
    """Older values of a delayed name are kept under names of their own."""
    places = {d.name: d.place for d in draft.declarations} | {e.name: e.place for e in draft.equations}
    for name in (k for k in kept if k in places):
        wrong = f"{name} is a reserved name: an older value is kept under it."
        raise CellError("reserved", places[name], wrong, "Rename it.")


def _refuse_twins(draft: Draft, names: list[str]) -> None:
    """Generated code adds an underscore to a name it needs itself, so that no other name may end in just that."""
    for name in names:
        if f"{name}_" in names:
            read = {n.name: n.place for e in draft.equations for n in walk(e.expr) if isinstance(n, Name)}
            places = read | {d.name: d.place for d in draft.declarations} | {e.name: e.place for e in draft.equations}
            place = places.get(f"{name}_", draft.equations[0].place)
            raise CellError("reserved", place, f"{name} and {name}_ are too much alike.", "Rename one of them.")


def _no_past(node: Name, assigned: dict[str, int], declared: dict[str, Declaration]) -> CellError:
    if node.name in declared or node.name == "t":
        return CellError("delay", node.place, f"{node.name} does not change over time, so it has no past value.")
    values = [*assigned, *(n for n, d in declared.items() if d.kind in ("input", "state"))]
    near = nearest(node.name, values)
    joined = next((v for v in values if glued(node.name, v)), "")
    advice = "Only inputs and assigned names can be read at t-1."
    if near or joined:
        factor = "" if near else f"{glued(node.name, joined)} @ "
        advice = f"Did you mean {factor}{near or joined}[t-{node.delay}]?"
    return CellError("undefined", node.place, f"{node.name} is never assigned, so it has no past value.", advice)


def _too_early(draft: Draft, node: Name, assigned: dict[str, int]) -> CellError:
    """A bare name read before its equation: a cycle if the equation depends on the reader, else a matter of order."""
    reader = next(e for e in draft.equations if any(n is node for n in walk(e.expr)))
    reads = {e.name: _reads(e) & assigned.keys() for e in draft.equations}
    path = _path(reads, node.name, reader.name)
    if path:
        loop = " → ".join([reader.name, *path])
        return CellError(
            "cycle",
            node.place,
            f"These values need each other in the same step: {loop}.",
            f"Did you mean {node.name}[t-1]?",
        )
    advice = f"Move the equation of {node.name} up, or read {node.name}[t-1]."
    return CellError("order", node.place, f"{node.name} is used before it is defined.", advice)


def _path(reads: dict[str, set[str]], start: str, goal: str) -> list[str]:
    """Names from start to goal along what each equation reads, or nothing."""
    stack, seen = [[start]], set()
    while stack:
        path = stack.pop()
        if path[-1] == goal:
            return path
        if path[-1] not in seen:
            seen.add(path[-1])
            stack.extend([*path, name] for name in sorted(reads.get(path[-1], ()), reverse=True))
    return []


def _outputs(draft: Draft, declared: dict[str, Declaration], assigned: dict[str, int]) -> tuple[str, ...]:
    outputs = [d for d in draft.declarations if d.kind == "output"]
    for k, d in enumerate(outputs):
        if any(d.name == e.name for e in outputs[:k]):
            raise CellError("twice", d.place, f"{d.name} is declared as output twice.")
        if d.name not in assigned:
            near = nearest(d.name, list(assigned))
            advice = f"Did you mean {near}?" if near else "An output is a value some equation defines."
            raise CellError("undefined", d.place, f"The output {d.name} is never assigned.", advice)
    if outputs:
        return tuple(dict.fromkeys(d.name for d in outputs))
    states = [d.name for d in draft.declarations if d.kind == "state"]
    if not states:
        raise CellError(
            "output",
            draft.equations[-1].place,
            "The cell has neither a state nor an output.",
            f"Say what it emits: output {draft.equations[-1].name}.",
        )
    return (states[0],)


def _check_states(draft: Draft, assigned: dict[str, int]) -> None:
    for d in draft.declarations:
        if d.kind == "state" and d.name not in assigned:
            near = nearest(d.name, [n for n in assigned if n not in {s.name for s in draft.declarations}])
            advice = f"Did you mean {near}?" if near else f"Add an equation {d.name} = …"
            variant = next(
                (n for n in assigned if n.rpartition("_")[::2] in [(d.name, v) for v in ("t", *VARIANTS)]), ""
            )
            if variant:
                advice = f"Write {d.name} for {variant}: a bare name is this step's value."
            raise CellError("unassigned", d.place, f"The state {d.name} is never assigned.", advice)


def _check_used(draft: Draft, declared: dict[str, Declaration], outputs: tuple[str, ...]) -> None:
    read = {n.name for e in draft.equations for n in walk(e.expr) if isinstance(n, Name)}
    for equation in draft.equations:
        name = equation.name
        if name not in read and name not in outputs and name not in declared:
            near = nearest(name, sorted(read))
            advice = f"Did you mean {near}?" if near else "Read it somewhere, or declare it as output."
            raise CellError("unused", equation.place, f"{name} is assigned and never used.", advice)
    for name, d in declared.items():
        if name not in read and d.kind != "state":
            near = nearest(name, sorted(read - declared.keys()))
            advice = f"Did you mean {near}?" if near else "Read it in an equation, or remove the declaration."
            joined = next((n for n in sorted(read - declared.keys()) if glued(n, name)), "")
            if d.kind == "input" and not near and not any(declared[n].kind == "input" for n in read & declared.keys()):
                line = _reading(draft, name, d.axes)
                advice = f"A cell needs an input that an equation reads{f': write {line}' if line else ''}."
            if d.kind == "input" and joined:
                advice = f"Did you mean {glued(joined, name)} @ {name} for {joined}?"
            raise CellError("unused", d.place, f"The {d.kind} {name} is declared and never read.", advice)


def _check_undeclared(
    draft: Draft,
    declared: dict[str, Declaration],
    assigned: dict[str, int],
    params: list[str],
    axes: tuple[str, ...],
    kept: list[str],
) -> None:
    """An undeclared parameter that looks like something else is more likely that."""
    known = {**assigned, **declared}
    values = {n for n in known if n in assigned or declared[n].kind in ("input", "state")}
    likely = sorted(axes, key=lambda axis: axis != likely_axis(draft.declarations))
    written = [*params, *(n for n, d in declared.items() if d.kind == "param")]
    for equation in draft.equations:
        for node in walk(equation.expr):
            if isinstance(node, Name) and node.name in params:
                doubt = in_doubt(node.name, values, list(known), written, likely)
                if doubt:
                    advice = f"If it is meant as a parameter, declare it: param {node.name}[…]."
                    raise CellError("typo", node.place, doubt, "" if node.name in kept else advice)


def _by_first_read(draft: Draft, params: tuple[str, ...]) -> tuple[str, ...]:
    order = dict.fromkeys(n.name for e in draft.equations for n in walk(e.expr) if isinstance(n, Name))
    return tuple(n for n in order if n in params)
