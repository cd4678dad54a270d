"""The other functions of a module beside what is known: infer and step, jvp, hvp, and modes that keep less.

jvp is compared with what backward is compared with, the derivation run forward; hvp is how the gradients of the
derivation change by a complex step, and symmetric.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature

import numpy as np

from symrnn.meaning.evaluate import Noise
from symrnn.proof.comparison import Comparison, Row, bare, is_misshapen, name_of, named
from symrnn.proof.trial import Arrays

#: Something by which there are gradients: (params, inputs or state; name).
At = tuple[str, str]


def brief(one: Comparison) -> list[Row]:
    """What runs without a tape, and both products, along all directions at once."""
    rows = _infer(one)
    if is_misshapen(one.rows) or is_misshapen(rows):
        return rows
    hessian = _hvp(one, one.trial.directions)
    rows += [*_jvp(one), _curvature(one, hessian, one.trial.quantities(), "hvp along all directions")]
    return [*rows, *(row for mode in _modes(one) for row in _memory(mode, [mode.trial.quantities()]))]


def thorough(one: Comparison) -> list[Row]:
    """The same with every gradient of hvp by itself, and the symmetry of the Hessian."""
    rows = _infer(one)
    if is_misshapen(one.rows) or is_misshapen(rows):
        return rows
    hessian, trial = _hvp(one, one.trial.directions), one.trial
    rows += _jvp(one)
    rows += [row for mode in _modes(one) for row in _memory(mode, [[at] for at in trial.quantities()])]
    rows += [_curvature(one, hessian, [at], f"hvp of {at[1]}") for at in trial.quantities()]
    other = _hvp(one, trial.others)
    there, back = _inner(hessian, trial.others), _inner(other, trial.directions)
    scale = sum(float(np.abs(hessian[g][n] * a).sum()) for g, arrays in trial.others.items() for n, a in arrays.items())
    if not np.isfinite(back):
        return [*rows, Row("hvp, symmetric", "hvp", trial.shape, np.inf, one.tolerances["hvp"], there, 0.0)]
    rows.append(one.figure("hvp, symmetric", "hvp", there, back, scale, _rounded(one, trial.others)))
    return rows


def _infer(one: Comparison) -> list[Row]:
    """infer over the sequence, and step by step."""
    trial, module = one.trial, one.module
    params, x, state = one.given(trial.point)
    with np.errstate(all="ignore"):
        y, last = module.infer(params, x, state)
        outputs, inputs = [v.name for v in one.cell.outputs], one.typed(trial.point["inputs"])
        resumes = "t" in signature(module.step).parameters
        found = named(y, outputs)
        rows = [
            one.array(f"infer: {n}", found[n], a, one.output_sensitivity(0, n), "infer and step")
            for n, a in trial.outputs.items()
        ]
        rows += [
            one.array(f"infer: last {n}", last[n], a, one.output_sensitivity(1, n), "infer and step")
            for n, a in trial.state.items()
        ]
        for t in range(trial.sizes["T"]):
            y, state = module.step(params, bare({n: a[t] for n, a in inputs.items()}), state, *([t] if resumes else []))
    rows += [
        one.array(f"step: {n}", named(y, outputs)[n], a[-1], one.output_sensitivity(0, n), "infer and step")
        for n, a in trial.outputs.items()
    ]
    rows += [
        one.array(f"step: next {n}", state[n], a, one.output_sensitivity(1, n), "infer and step")
        for n, a in trial.state.items()
    ]
    return rows


def _modes(one: Comparison) -> list[Comparison]:
    """The module in every mode that keeps less than all; none where the gradients of all have wrong shapes already."""
    if one.misshapen_gradients("complex step"):
        return []
    return [
        Comparison(one.module, one.trial, str(one.dtype), one.own_rounding, mode)
        for mode in getattr(one.module, "MEMORY", ())
        if mode != "all"
    ]


def _memory(one: Comparison, groups: list[list[At]]) -> list[Row]:
    """Outputs, last states and gradients in a mode that keeps less; gradients of each group in one row."""
    trial, found, mode = one.trial, one.found, one.memory
    rows = [
        one.array(f"{mode}: {n}", found.outputs[n], a, one.output_sensitivity(0, n), "memory, forward")
        for n, a in trial.outputs.items()
    ]
    rows += [
        one.array(f"{mode}: last {n}", found.state[n], a, one.output_sensitivity(1, n), "memory, forward")
        for n, a in trial.state.items()
    ]
    rows += one.misshapen_gradients("memory, backward")
    if is_misshapen(rows):
        return rows
    for group in groups:
        parts = [one.along(at) for at in group]
        name = name_of(group[0]) if len(group) == 1 else "all gradients"
        expected = trial.single[group[0]] if len(group) == 1 else trial.joint
        scale = sum(one.scale(at) for at in group) if len(group) == 1 else sum(map(abs, parts))
        rows.append(
            one.figure(f"{mode}: {name}", "memory, backward", sum(parts), expected, scale, one.sensitivity(group))
        )
    return rows


def _jvp(one: Comparison) -> list[Row]:
    """Its outputs and last states, and ⟨jvp(v), w⟩ beside forward mode, with which backward is compared too."""
    trial, every = one.trial, one.trial.quantities()
    (params, x, state), along = one.given(trial.point), one.given(trial.directions)
    with np.errstate(all="ignore"):
        y, last, dot_y, dot_last = one.module.jvp(params, x, state, *along)
    outputs = [v.name for v in one.cell.outputs]
    found, moved = named(y, outputs), named(dot_y, outputs)
    rows = [one.array(f"jvp: {n}", found[n], a, one.output_sensitivity(0, n)) for n, a in trial.outputs.items()]
    rows += [one.array(f"jvp: last {n}", last[n], a, one.output_sensitivity(1, n)) for n, a in trial.state.items()]
    pushed = sum(float((moved[n] * w).sum()) for n, w in trial.weights.items())
    pushed += sum(float((dot_last[n] * w).sum()) for n, w in trial.state_weights.items())
    parts = [one.along(at) for at in every]
    scale, noise = sum(map(abs, parts)), one.sensitivity(every)
    return [*rows, one.figure("jvp along all directions", "jvp", pushed, trial.pushed, scale, noise)]


def _hvp(one: Comparison, along: dict[str, Arrays]) -> dict[str, Arrays]:
    trial = one.trial
    params, x, state = one.given(trial.point)
    dy, dstate = bare(one.typed(trial.weights)), one.typed(trial.state_weights)
    with np.errstate(all="ignore"):
        dparams, dx, dstart = one.module.hvp(params, x, state, dy, dstate, *one.given(along))
    return {"params": dparams, "inputs": named(dx, [v.name for v in one.cell.inputs]), "state": dstart}


def _curvature(one: Comparison, hessian: dict[str, Arrays], every: list[At], quantity: str) -> Row:
    """Some gradients of hvp along another direction, beside complex steps of the gradients as they were derived."""
    trial = one.trial
    for group, name in every:
        found, like = np.asarray(hessian[group][name]), trial.point[group][name]
        if found.shape != like.shape or found.dtype != one.dtype:
            return one.misshapen(f"hvp of {name}", "hvp")
    other = {g: {n: a for n, a in arrays.items() if (g, n) in every} for g, arrays in trial.others.items()}
    expected = _inner(trial.bent(), other)
    scale = sum(float(np.abs(hessian[g][n] * a).sum()) for g, arrays in other.items() for n, a in arrays.items())
    return one.figure(quantity, "hvp", _inner(hessian, other), expected, scale, _rounded(one, other))


def _rounded(one: Comparison, other: dict[str, Arrays]) -> Callable[[], float]:
    """How much gradients of hvp change by relative rounding of one, in the derivation and in the module."""

    def measured() -> float:
        exact = _inner(one.trial.bent(), other)
        plain = _inner(one.trial.curved(), other)
        written = [abs(_inner(one.trial.bent(seed), other) - exact) for seed in range(3)]
        derived = [abs(_inner(one.trial.curved(seed), other) - plain) for seed in range(3)]
        return max(*written, *derived) / Noise.SIZE + one.change(along)

    def along(x: Comparison) -> np.ndarray:
        hessian = _hvp(x, x.trial.directions)
        return np.array([(hessian[g][n] * a).sum() for g, arrays in other.items() for n, a in arrays.items()])

    return measured


def _inner(arrays: dict[str, Arrays], others: dict[str, Arrays]) -> float:
    return sum(float((arrays[g][n] * a).sum()) for g, group in others.items() for n, a in group.items())
