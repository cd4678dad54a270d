"""On a GPU: every cell against the check of the spine, twice, so that the captured graph is checked too."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest
from points import point

import symrnn
from benchmarks.gpu import OnDevice
from symrnn.proof.check import SHAPES, check

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="session")
def cupy() -> Any:
    if find_spec("cupy") is None:
        pytest.skip("needs CuPy")
    import cupy  # noqa: PLC0415 - a missing CuPy skips

    try:
        cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        pytest.skip(f"needs a CUDA device: {error}")
    return cupy


@pytest.mark.parametrize("name", symrnn.gallery())
def test_every_cell_passes_on_the_device(name: str, cupy: Any) -> None:
    cell = symrnn.load(name)
    module: Any = OnDevice(symrnn.compile(cell, "cuda"), cupy)
    for dtype, shapes in (("float64", SHAPES), ("float32", SHAPES[:1])):
        for _ in range(2):
            report = check(cell, module, "cuda", dtype, shapes)
            assert report.ok, str(report)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_halves_are_near(dtype: str, cupy: Any) -> None:
    try:
        cupy.dtype(dtype)
    except TypeError:
        pytest.skip(f"this CuPy has no {dtype}")
    cell = symrnn.load("lstm")
    module, at = symrnn.compile(cell, "cuda"), point(cell)
    exact = symrnn.compile(cell).forward(at.params, at.x, at.state)[0]
    there = OnDevice(module, cupy).there
    given = [{k: v.astype(dtype) for k, v in there(g).items()} for g in (at.params, at.inputs, at.state)]
    found = cupy.asnumpy(module.forward(given[0], given[1]["x"], given[2])[0].astype("float64"))
    assert abs(found - exact).max() < {"float16": 1e-2, "bfloat16": 8e-2}[dtype]


def test_torch_tensors_come_without_a_copy(cupy: Any) -> None:
    torch = pytest.importorskip("torch")
    cell = symrnn.load("gru")
    module, at = symrnn.compile(cell, "cuda"), point(cell)
    tensors = {k: torch.tensor(v, device="cuda") for k, v in at.params.items()}
    x = torch.tensor(at.inputs["x"], device="cuda").transpose(0, 1).contiguous().transpose(0, 1)
    expected = symrnn.compile(cell).forward(at.params, at.x)[0]
    assert abs(cupy.asnumpy(module.forward(tensors, x)[0]) - expected).max() < 1e-12
    assert module.seen(x).data.ptr == x.data_ptr()
