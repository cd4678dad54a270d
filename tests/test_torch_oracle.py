"""torch.nn as a witness in float64: outputs and every gradient of its LSTM, GRU and RNN."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import symrnn

torch: Any = pytest.importorskip("torch", reason="torch is not installed: pip install torch runs this comparison")

T, B, I, H = 7, 3, 5, 4

#: cell, torch class, our names of the gates in torch's order, names of W, U and b of a gate.
CASES = {
    "lstm": ("LSTM", "ifgo", "W_{}", "U_{}", "b_{}"),
    "gru_reset_after": ("GRU", "rzn", "W_{}", "U_{}", "b_{}"),
    "elman": ("RNN", "h", "U", "W", "b"),
}


@pytest.mark.parametrize("name", CASES)
def test_torch_agrees(name: str) -> None:
    kind, gates, w, u, b = CASES[name]
    cell = symrnn.load(name)
    module = symrnn.compile(cell)
    rng = np.random.default_rng(1)
    params = {v.name: rng.standard_normal([{"H": H, "I": I}[a] for a in v.axes]) * 0.5 for v in cell.params}
    x, dy = rng.standard_normal((T, B, I)), rng.standard_normal((T, B, H))

    layer = getattr(torch.nn, kind)(I, H).double()
    stacked = {
        "weight_ih_l0": np.concatenate([params[w.format(g)] for g in gates]),
        "weight_hh_l0": np.concatenate([params[u.format(g)] for g in gates]),
        "bias_ih_l0": np.concatenate([params[b.format(g)] for g in gates]),
        "bias_hh_l0": np.concatenate([params["b_hn"] if g == "n" else np.zeros(H) for g in gates]),
    }
    with torch.no_grad():
        for key, value in stacked.items():
            getattr(layer, key).copy_(torch.from_numpy(value))
    tx = torch.from_numpy(x).requires_grad_()
    ty, _ = layer(tx)
    ty.backward(torch.from_numpy(dy))

    y, _, tape = module.forward(params, x)
    dparams, dx, _ = module.backward(params, tape, dy)
    np.testing.assert_allclose(y, ty.detach().numpy(), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(dx, tx.grad.numpy(), rtol=1e-11, atol=1e-13)
    for key, form in (("weight_ih_l0", w), ("weight_hh_l0", u), ("bias_ih_l0", b)):
        ours = np.concatenate([dparams[form.format(g)] for g in gates])
        np.testing.assert_allclose(ours, getattr(layer, key).grad.numpy(), rtol=1e-10, atol=1e-12, err_msg=key)
