"""Every name that generated modules use themselves may be a name of a cell, in every role."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from textwrap import dedent

import pytest

import symrnn
from symrnn.emit import emit, targets
from symrnn.loading import module_to_check
from symrnn.proof.check import check

BACKENDS = ("numpy", "cpp", "cuda")
#: Cells whose names all begin with zz: the other names are those of modules. Together they use all helpers and kernels.
PRINTED = (
    """
        input zzx[zzI]
        state zzh[zzH], zzm[zzN, zzK]
        output zzy
        param zzW[zzH, zzI+zzH], zzV[zzN, zzH], zzO[zzH, zzN]
        const zze = 0.3
        zzg = sigmoid(zzW @ concat(zzx, zzh[t-1]) + zz_bias)
        zzk = softmax(zz_P @ zzg) + relu(layer_norm(zz_Q @ zzx))
        zzm = zzm[t-1] * sqrt(zze) + outer(tanh(zzV @ zzg), zzk)
        zzh = gelu(zzO @ (zzm @ zzk)) + max(zzg) + min(zzg) + norm(zzg) + where(t > 2, softplus(zzh[t-2]), 0.5 * zzg)
        zzy = logsumexp(zzm) * abs(zzO.T @ zzg) ** 1.5
    """,
    "input zzx[zzH], zzu[zzH]\nstate zzh[zzH]\nzzh = zz_f * zzh[t-1] + clip(zzx, -1, zzu) * exp(-zzh[t-1])",
    """
        input zzx[zzH]
        state zzh[zzH]
        zzA = exp(zz_U * 0.5).T
        zzh = tanh(zzA @ zzh[t-1] + mean(zzx) * identity(zzH) @ zzx)
    """,
)
ROLES = ("input", "state", "param", "const", "value", "axis")
AT_ONCE = 10


@cache
def identifiers() -> tuple[str, ...]:
    """All that generated text calls by a name without having it from a cell."""
    found: set[str] = set()
    for printed in PRINTED:
        for target in targets():
            for artifact in emit(symrnn.parse(dedent(printed), "zz"), target):
                found |= _python(artifact.text) if artifact.path.endswith(".py") else _c(artifact.text)
    return tuple(sorted(n for n in found if "zz" not in n and not n.endswith("_") and allowed(n)))


def _python(text: str) -> set[str]:
    tree = list(ast.walk(ast.parse(text)))
    names = {n.id for n in tree if isinstance(n, ast.Name)} | {n.arg for n in tree if isinstance(n, ast.arg)}
    names |= {n.attr for n in tree if isinstance(n, ast.Attribute)}
    return names | {n.name for n in tree if isinstance(n, ast.FunctionDef | ast.ClassDef)}


def _c(text: str) -> set[str]:
    return set(re.findall(r"[A-Za-z_]\w*", re.sub(r"//.*", "", text)))


def allowed(name: str) -> bool:
    """Does the language take it as the name of a parameter?"""
    equation = f"h_out = {name} * h_out[t-1] + sum(x_in)"
    try:
        symrnn.parse(f"input x_in[I_in]\nstate h_out[H_out]\nparam {name}[H_out]\n{equation}", "own")
    except symrnn.CellError as error:
        assert error.kind in ("reserved", "name", "syntax"), error
        return False
    return True


def cells() -> Iterator[tuple[str, str]]:
    """Every name in every role, a few at once: (what they are, text)."""
    names = identifiers()
    for shift in range(len(ROLES)):
        for k in range(0, len(names), AT_ONCE * len(ROLES)):
            group = [*names[k : k + AT_ONCE * len(ROLES)]]
            group += [f"spare{n}" for n in range(AT_ONCE * len(ROLES) - len(group))]
            rows = [group[n : n + AT_ONCE] for n in range(0, len(group), AT_ONCE)]
            by_role = dict(zip(ROLES, rows[shift:] + rows[:shift], strict=True))
            by_role["axis"] = [a if a not in ("T", "B", "seed", "dtype") else f"spare_{a}" for a in by_role["axis"]]
            yield ", ".join(f"{role}: {' '.join(by_role[role])}" for role in ROLES), text(by_role)


def text(names: dict[str, list[str]]) -> str:
    lines: list[str] = ["output y_final"]
    for x, h, w, c, v, a in zip(*(names[role] for role in ROLES), strict=True):
        lines = [f"input {x}[{a}]", f"state {h}[H_out]", f"param {w}[H_out, {a}]", f"const {c} = 0.7", *lines]
        lines += [f"{v} = tanh({w} @ {x}) * {c}", f"{h} = {v} + {c} * {h}[t-1] / {a}"]
    return "\n".join([*lines, f"y_final = {' + '.join(names['state'])}"])


def test_the_names_are_those_of_the_modules() -> None:
    names = identifiers()
    assert len(names) > 250
    expected = "np cp params float dstate dy start PARAMS count range Tape compute_t threadIdx blockDim library capture"
    assert {"int64", "block_sum", "stream", "weakref", "sizes", "storage_t"} <= set(names), names
    assert len(set(expected.split()) & set(names)) >= 14


def proved(backend: str, wanted: slice) -> None:
    for what, written in [*cells()][wanted]:
        cell = symrnn.parse(written, "own")
        module = module_to_check(cell, backend)
        report = check(cell, module, backend, shapes=[(3, 2, (2, 3, 4))])
        assert report.ok, f"{what}\n{report}"


def test_numpy_modules_take_every_name() -> None:
    proved("numpy", slice(None))


@pytest.mark.parametrize("backend", ["cpp", "cuda"])
def test_compiled_modules_take_some(backend: str) -> None:
    proved(backend, slice(0, None, 12))


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["cpp", "cuda"])
def test_compiled_modules_take_every_name(backend: str) -> None:
    proved(backend, slice(None))
