"""What every statement means, in plain NumPy: the reference that passes and targets are compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from symrnn.calculus.along_axis import tangent as tangent_of
from symrnn.calculus.derive import Derivation
from symrnn.calculus.ir import (
    BATCH,
    TIME,
    AlongAxis,
    Concat,
    Contraction,
    Labels,
    OneHot,
    Peak,
    Pointwise,
    Ref,
    Slice,
    Statement,
    Value,
    axis_of,
    numbered,
    reads,
    symbol,
)
from symrnn.functions.numeric import Array, value
from symrnn.language.cell import Cell, axis_parts
from symrnn.schedule.program import Carried, Program, Sweep

Arrays = dict[str, Array]
Sizes = Mapping[str, int]
Change = Callable[[Array], Array]


def length(label: str, sizes: Sizes) -> int:
    """How many components a label runs over; `sizes` holds T, B and the plain axes."""
    plain = {TIME: "T", BATCH: "B"}.get(label) or axis_of(label)
    return sum(sizes[p] for p in axis_parts(plain))


def execute(s: Statement, env: Mapping[str, Array], sizes: Sizes) -> Array:
    """The value of one statement, its axes in the order of the labels of `s.out`."""
    shape = tuple(length(x, sizes) for x in s.out.labels)
    match s:
        case Pointwise():
            args = {symbol(a.name): aligned(env[a.name], a.labels, s.out.labels) for a in s.args}
            found = np.asarray(value(s.expr, args))
            return found if found.shape == shape else np.array(np.broadcast_to(found, shape))
        case Contraction():
            return contracted([(env[a.name], a.labels) for a in s.args], s.out.labels)
        case Concat():
            lead = shape[:-1]
            parts = [aligned(env[a.name], a.labels, (*s.out.labels[:-1], a.labels[-1])) for a in s.args]
            return np.concatenate([np.broadcast_to(p, (*lead, p.shape[-1])) for p in parts], axis=-1)
        case Slice():
            start = sum(length(a, sizes) for a in s.before)
            return np.array(env[s.args[0].name][..., start : start + shape[-1]])
        case OneHot():
            return one_hot(env[s.args[0].name], s.largest)
        case Peak():
            return np.asarray(np.real(env[s.args[0].name]).max(axis=-1))
        case AlongAxis():
            return np.asarray(s.row.value(env[s.args[0].name]))


def aligned(array: Array, labels: Labels, out: Labels) -> Array:
    """The array with its axes in the order of `out`, of length 1 where it lacks a label."""
    if labels == out:
        return array
    order = [x for x in out if x in labels]
    array = np.transpose(array, [labels.index(x) for x in order])
    return array[tuple(slice(None) if x in labels else None for x in out)]


def contracted(args: Sequence[tuple[Array, Labels]], out: Labels) -> Array:
    """The product of arrays, summed over the labels that `out` lacks; an axis of length 1 meets any other."""
    letters = {x: chr(97 + k) for k, x in enumerate(dict.fromkeys(x for _, labels in args for x in labels))}
    spec = ",".join("".join(letters[x] for x in labels) for _, labels in args)
    return np.asarray(np.einsum(f"{spec}->{''.join(letters[x] for x in out)}", *(array for array, _ in args)))


def one_hot(array: Array, largest: bool) -> Array:
    """1 where the array is largest (or smallest) along its last axis, else 0; the first one at a tie."""
    a = np.real(array)
    best = a.argmax(axis=-1) if largest else a.argmin(axis=-1)
    return np.asarray(np.arange(a.shape[-1]) == best[..., None], float)


# -- a scheduled program ---------------------------------------------------------------------------------------


def run(
    program: Program, given: Arrays, starts: Mapping[str, Arrays], sizes: Sizes, noise: Change | None = None
) -> tuple[Arrays, dict[str, Arrays]]:
    """Run all sweeps on what is given by name: parameters, inputs, cotangents. `starts` has the carried values of each.

    Returns every value by name, timed ones T first, and what each sweep carries out at its end. `noise`, if given,
    changes every value a little, those given and those on the way, as rounding does.
    """
    change = _Noisy(program, noise) if noise else _unchanged
    env, ends = (
        constants(program.derivation.cell, program.values, sizes) | {n: change(n, a) for n, a in given.items()},
        {},
    )
    for sweep in program.sweeps:
        steps = range(sizes["T"])
        order = reversed(steps) if sweep.reverse else steps
        one = _Run(sweep, program.values, env, sizes, starts[sweep.name], order, change)
        env, ends[sweep.name] = one.run(), one.end
    return env, ends


class _Noisy:
    """Noise in every value but those made of constants, sizes and the step index, which decide what happens when."""

    def __init__(self, program: Program, noise: Change) -> None:
        self.noise = noise
        self.exact = {n for n, v in program.values.items() if v.role in ("const", "size", "time", "identity")}
        for s in program.statements():
            if {*reads(s)} <= self.exact:
                self.exact.add(s.out.name)

    def __call__(self, name: str, a: Array) -> Array:
        return a if name in self.exact else self.noise(a)


def _unchanged(name: str, a: Array) -> Array:
    return a


def forward(program: Program, given: Arrays, state: Arrays, sizes: Sizes, noise: Change | None = None) -> Arrays:
    """Run the first sweep on parameters and inputs, and an initial state; every value by name, timed ones T first."""
    first = replace(program, sweeps=program.sweeps[:1])
    return run(first, given, {first.sweeps[0].name: state}, sizes, noise)[0]


def backward(
    program: Program, known: Arrays, cotangents: Arrays, last: Arrays, sizes: Sizes, noise: Change | None = None
) -> tuple[Arrays, Arrays]:
    """Run the second sweep on what the first left, cotangents of the outputs (by name) and of the last state.

    Returns the gradients of inputs and parameters by name, and those of the initial state by key.
    """
    d, second = program.derivation, replace(program, sweeps=program.sweeps[1:])
    seeds = {seed: cotangents[name] for name, seed in d.seeds.items()}
    env, ends = run(second, known | seeds, {second.sweeps[0].name: last}, sizes, noise)
    return {name: env[g] for name, g in d.gradients.items()}, ends[second.sweeps[0].name]


def constants(cell: Cell, values: Mapping[str, Value], sizes: Sizes) -> Arrays:
    """What nothing moves: the constants of a cell, and the axis lengths, identities and, given T, steps in `values`."""
    env: Arrays = {v.name: np.array(float(v.start)) for v in cell.consts}
    for name, v in values.items():
        if v.role == "size":
            env[name] = np.array(float(sizes[name]))
        elif v.role == "identity":
            env[name] = np.eye(length(v.axes[0], sizes))
        elif v.role == "time" and "T" in sizes:
            env[name] = np.arange(float(sizes["T"]))
    return env


class _Run:
    def __init__(
        self,
        part: Sweep,
        values: Mapping[str, Value],
        env: Arrays,
        sizes: Sizes,
        start: Arrays,
        steps: Iterable[int],
        change: Callable[[str, Array], Array],
    ) -> None:
        self.part, self.values, self.env, self.sizes = part, values, env, sizes
        self.start, self.steps, self.change = start, list(steps), change
        self.end: Arrays = dict(start)

    def run(self) -> Arrays:
        self.block(self.part.once)
        self.whole(self.part.before, "before")
        self.loop()
        self.whole(self.part.after, "after")
        self.block(self.part.finish)
        return self.env

    def execute(self, s: Statement, env: Mapping[str, Array]) -> Array:
        return self.change(s.out.name, execute(s, env, self.sizes))

    def block(self, statements: Iterable[Statement]) -> None:
        for s in statements:
            self.env[s.out.name] = self.execute(s, self.env)

    def whole(self, statements: Iterable[Statement], block: str) -> None:
        """All steps at once; what is carried here is seen by its readers one step apart."""
        carried = {c.source: c for c in self.part.carried if c.where == block}
        for s in statements:
            self.env[s.out.name] = self.execute(s, self.env)
            if s.out.name in carried:
                self.shift(carried[s.out.name])

    def shift(self, c: Carried) -> None:
        rows = [self.start[c.key]]
        for t in self.steps:
            rows.append(self.env[c.source][t])
        self.end[c.key] = rows[-1]
        arrived = np.stack(rows[:-1]) if self.steps else self.env[c.source]
        self.env[c.arrives] = arrived if self.steps == sorted(self.steps) else arrived[::-1]

    def loop(self) -> None:
        carried = [c for c in self.part.carried if c.where == "loop"]
        kept: dict[str, dict[int, Array]] = {n: {} for n in [c.arrives for c in carried]}
        kept |= {s.out.name: {} for s in self.part.loop}
        now = {c.arrives: self.start[c.key] for c in carried}
        for t in self.steps if self.part.loop else []:
            local = _At(self.env, self.values, t)
            local.update(now)
            for s in self.part.loop:
                local[s.out.name] = self.execute(s, local)
            for name, rows in kept.items():
                rows[t] = local[name]
            now = {c.arrives: local[c.source] for c in carried}
        self.end.update({c.key: now[c.arrives] for c in carried})
        for name, rows in kept.items():
            self.env[name] = np.stack([rows[t] for t in sorted(rows)]) if rows else np.zeros(0)


class _At(dict[str, Array]):
    """Values during step t: what is timed is seen at t."""

    def __init__(self, env: Arrays, values: Mapping[str, Value], t: int) -> None:
        super().__init__()
        self.env, self.known, self.t = env, values, t

    def __missing__(self, name: str) -> Array:
        array = self.env[name]
        return array[self.t] if self.known[name].timed else array


# -- forward mode ----------------------------------------------------------------------------------------------


def tangent(d: Derivation, known: Arrays, directions: Arrays, state: Arrays, sizes: Sizes) -> tuple[Arrays, Arrays]:
    """J v: how outputs and last state move when parameters and inputs move along `directions`, the state along `state`.

    `known` are all values of the forward pass, timed ones with T first. Uses the derivation's partial derivatives,
    forwards, so that ⟨J v, w⟩ = ⟨v, Jᵀ w⟩ tests how the backward pass transposes them.
    """
    step = d.step
    moved = dict(state)
    outputs: dict[str, list[Array]] = {v.name: [] for v in d.cell.outputs}
    previous = {v.of: n for n, v in step.values.items() if v.role == "carry"}
    for t in range(sizes["T"]):
        now = _At(known, step.values, t)
        dots: Arrays = {previous[k]: moved[k] for k in moved}
        dots |= {v.name: directions[v.name][t] for v in d.cell.inputs}
        dots |= {v.name: directions[v.name] for v in d.cell.params}
        for s in step.statements:
            dots[s.out.name] = _pushed(s, d, now, dots, sizes)
        for name, rows in outputs.items():
            rows.append(dots[name])
        moved = {k: dots[source] for k, source in step.carried.items()}
    return {k: np.stack(v) for k, v in outputs.items()}, moved


def _pushed(s: Statement, d: Derivation, now: Mapping[str, Array], dots: Arrays, sizes: Sizes) -> Array:
    total: Any = np.zeros(tuple(length(x, sizes) for x in s.out.labels))
    for edge in d.edges:
        if edge.statement is not s:
            continue
        arg = s.args[edge.position]
        if isinstance(s, AlongAxis):
            total = total + _along_axis(s, d.values, now, dots, sizes)
        elif edge.partial is not None:
            refs = {symbol(r.name): aligned(now[r.name], r.labels, s.out.labels) for r in _mentioned(s, edge.partial)}
            total = total + value(edge.partial, refs) * aligned(dots[arg.name], arg.labels, s.out.labels)
        else:
            total = total + execute(*_with_dot(s, edge.position, now, dots), sizes)
    return np.asarray(total)


def _along_axis(s: AlongAxis, values: dict[str, Value], now: Mapping[str, Array], dots: Arrays, sizes: Sizes) -> Array:
    """The tangent of the statement's value, by the rule of its row."""
    (a,) = s.args
    moved, out = Ref(f"{a.name}·", a.labels), Ref(f"{s.out.name}·", s.out.labels)
    known = dict(values)
    env = {n: now[n] for n in (a.name, s.out.name, *axis_parts(axis_of(a.labels[-1])))} | {moved.name: dots[a.name]}
    for x in tangent_of(s, moved, out, known, lambda name: numbered(name, known.__contains__)):
        env[x.out.name] = execute(x, env, sizes)
    return env[out.name]


def _mentioned(s: Statement, partial: Any) -> list[Ref]:
    return [r for r in (*s.args, s.out) if symbol(r.name) in partial.free_symbols]


def _with_dot(s: Statement, position: int, now: Mapping[str, Array], dots: Arrays) -> tuple[Statement, Arrays]:
    """The (linear) statement with one operand replaced by its tangent, the others of a sum by zero."""
    args = [Ref(f"{a.name}·{k}", a.labels) for k, a in enumerate(s.args)]
    whole = isinstance(s, Contraction)
    env = {
        ref.name: dots[a.name] if k == position else now[a.name] if whole else np.zeros_like(now[a.name])
        for k, (ref, a) in enumerate(zip(args, s.args, strict=True))
    }
    fields = dict(vars(s)) | {"args": tuple(args)}
    return type(s)(**fields), env
