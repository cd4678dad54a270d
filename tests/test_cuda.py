"""The cuda backend without a device: the very source runs on the CPU and is checked there, and NVRTC compiles it."""

from __future__ import annotations

import re
from importlib.util import find_spec
from types import ModuleType

import numpy as np
import pytest
from points import alone, leaves, point

import symrnn
from symrnn.emit import Artifact, emit, target
from symrnn.language.cell import Cell
from symrnn.language.load import heads, parse
from symrnn.native import compiler, nvrtc
from symrnn.proof.check import SHAPES, check

EVERYTHING = [*symrnn.gallery(), *(f"heads/{h}" for h in heads())]
COMPILER = pytest.mark.skipif(compiler.compiler() is None, reason="no C++ compiler: install g++ or clang++")
NVRTC = pytest.mark.skipif(not nvrtc.available(), reason="no NVRTC: install nvidia-cuda-nvrtc")


def source(cell: Cell) -> str:
    return next(a.text for a in emit(cell, "cuda") if a.path.endswith(".cu"))


def on_the_cpu(cell: Cell, edit: tuple[str, str] | None = None) -> ModuleType:
    """The cuda module on the CPU, its kernels changed by one replacement that must apply."""
    artifacts = emit(cell, "cuda")
    if edit is not None:
        old, new = edit
        assert old in source(cell)
        artifacts = [
            Artifact(a.path, a.text.replace(old, new, 1) if a.path.endswith(".cu") else a.text) for a in artifacts
        ]
    module: ModuleType = target("cuda").load(cell, artifacts, host=True)  # type: ignore[attr-defined]
    return module


# -- the source on the CPU -------------------------------------------------------------------------------------


@pytest.mark.slow
@COMPILER
@pytest.mark.parametrize("name", EVERYTHING)
def test_every_cell_passes_on_the_cpu(name: str) -> None:
    cell = symrnn.load(name)
    module = symrnn.compile(cell, "cuda", host=True)
    for dtype, shapes in (("float64", SHAPES), ("float32", SHAPES[:1])):
        report = check(cell, module, "cuda", dtype, shapes)
        assert report.ok, str(report)


WIDE = "input x[H]\nstate h[H]\noutput h\nh = tanh(layer_norm(x + h[t-1]) + softmax(x))\n"
BEST = "input x[H]\nstate h[H]\noutput h\nh = tanh(x + max(h[t-1]) * min(x))\n"


@pytest.mark.slow
@COMPILER
@pytest.mark.parametrize("name", symrnn.gallery())
def test_half_precision_storage_computes_in_float(name: str) -> None:
    """Against NumPy in float64 at the same rounded numbers; what is stored on the way has eleven bits."""
    cell = symrnn.load(name)
    at, found = point(cell, scale=0.3), []
    for module, dtype in ((on_the_cpu(cell), np.float16), (symrnn.compile(cell), np.float64)):
        groups = (at.params, at.inputs, at.state, at.dy, at.dstate)
        params, x, state, dy, dstate = ({k: v.astype(np.float16).astype(dtype) for k, v in g.items()} for g in groups)
        y, last, tape = module.forward(params, alone(x), state)
        found.append(leaves((y, last, module.backward(params, tape, alone(dy), dstate))))
    for half, exact in zip(*found, strict=True):
        assert half.dtype == np.float16
        np.testing.assert_allclose(half, exact, rtol=0, atol=0.01 * (0.1 + np.abs(exact).max()))


@COMPILER
@pytest.mark.parametrize("width", [1, 31, 33, 300, 1500])
def test_reductions_hold_for_any_width(width: int) -> None:
    for text in (WIDE, BEST)[: 1 if width > 100 else 2]:  # among so many numbers the two largest are too near a tie
        cell = parse(text, "wide")
        report = check(cell, on_the_cpu(cell), "cuda", shapes=[(2, 3, (width,))])
        assert report.ok, str(report)


MUTANTS = {
    "the first barrier of a row sum": (WIDE, ("    __syncthreads();\n    for", "    for"), (2, 2, (100,))),
    "the barrier that frees the shared memory": (
        WIDE,
        ("    __syncthreads();  // part may be written again\n    int next", "    int next"),
        (3, 3, (100,)),
    ),
    "a barrier of the search for the best": (
        BEST,
        ("    positions[threadIdx.x] = position;\n    __syncthreads();", "    positions[threadIdx.x] = position;"),
        (2, 2, (100,)),
    ),
    "a swapped gate": ("lstm", ("c = c_prev * f + i * g;", "c = c_prev * i + f * g;"), SHAPES[0]),
    "a wrong index": ("lstm", ("i_at[(t * B + iB) * H + iH] =", "i_at[(t * B + iB) * H + (iH + 1) % H] ="), SHAPES[0]),
    "a wrong row": ("gru", ("h_rows_at[(t * B + iB) * H + iH]", "h_rows_at[((t + 1) * B + iB) * H + iH]"), SHAPES[0]),
}


@COMPILER
@pytest.mark.parametrize("what", MUTANTS)
def test_a_mutant_of_the_source_fails(what: str) -> None:
    text, edit, shape = MUTANTS[what]
    cell = parse(text, "wide") if "\n" in text else symrnn.load(text)
    assert check(cell, on_the_cpu(cell), "cuda", shapes=[shape]).ok
    assert not check(cell, on_the_cpu(cell, edit), "cuda", shapes=[shape]).ok


@COMPILER
def test_a_recurrence_without_products_is_one_kernel_for_the_sequence() -> None:
    for name, sequence in (("indrnn", True), ("sru", True), ("mingru", True), ("lstm", False), ("gru", False)):
        kernels = re.findall(r"__global__ void (\w+)\(", source(symrnn.load(name)))
        assert any("sequence" in k for k in kernels) == sequence, name
        assert not (sequence and any("_step" in k for k in kernels)), name


@COMPILER
def test_two_tapes_of_one_size_do_not_disturb_each_other() -> None:
    cell = symrnn.load("gru")
    module, first, second = on_the_cpu(cell), point(cell, seed=1), point(cell, seed=2)
    (dy,) = first.dy.values()
    _, _, tape = module.forward(first.params, first.x, first.state)
    expected = module.backward(first.params, tape, dy)[1]
    _, _, tape = module.forward(first.params, first.x, first.state)
    y, _, other = module.forward(second.params, second.x, second.state)
    kept = y.copy()
    assert np.array_equal(module.backward(first.params, tape, dy)[1], expected)
    assert np.array_equal(y, kept)
    del other


# -- errors ----------------------------------------------------------------------------------------------------


def test_a_wrong_argument_is_named() -> None:
    cell = symrnn.load("gru")
    module, at = on_the_cpu(cell), point(cell)
    with pytest.raises(TypeError, match="x must be float32, float64, float16, bfloat16, but is int64"):
        module.forward(at.params, np.zeros((1, 1, 2), np.int64))
    with pytest.raises(TypeError, match="x must be a CuPy array or a device tensor, but is list"):
        module.forward(at.params, [1.0])
    with pytest.raises(ValueError, match="x must have shape"):
        module.forward(at.params, np.zeros((4, 3)))


def test_without_cupy_or_a_device_the_error_says_so() -> None:
    module = symrnn.compile(symrnn.load("gru"), "cuda")
    if find_spec("cupy") is None:
        with pytest.raises(RuntimeError, match="needs CuPy: install"):
            module.forward({}, None)
        return
    with pytest.raises((RuntimeError, TypeError, ValueError)):
        module.forward({}, None)


class _Device:
    """A device the kernels cannot run on."""

    def __init__(self, count: int, capability: str) -> None:
        self.count, self.capability = count, capability

    def of(self, module: ModuleType) -> None:
        cuda = module.__dict__["cp"].cuda
        cuda.runtime.getDeviceCount = lambda: self.count
        cuda.Device = type("Device", (), {"id": 0, "compute_capability": self.capability})


@pytest.mark.parametrize(
    ("device", "message"),
    [(_Device(0, "90"), "there is no CUDA device"), (_Device(1, "70"), "sm_70 is too old")],
)
def test_an_unusable_device_is_named(device: _Device, message: str) -> None:
    module = on_the_cpu(symrnn.load("gru"))
    device.of(module)
    with pytest.raises(RuntimeError, match=message):
        module.forward({}, None)


def test_a_shape_too_large_is_refused() -> None:
    module = on_the_cpu(symrnn.load("gru"))
    with pytest.raises(ValueError, match="too large for cuBLAS: split the batch"):
        module.take(module.train_passes, {"T": 2**20, "B": 2**12, "I": 1, "H": 1}, np.dtype(np.float32))


# -- compiled for devices --------------------------------------------------------------------------------------


@NVRTC
@pytest.mark.slow
@pytest.mark.parametrize("name", EVERYTHING)
def test_nvrtc_compiles_without_spills(name: str) -> None:
    text = source(symrnn.load(name))
    kernels = set(re.findall(r"__global__ void (\w+)\(", text))
    for architecture in nvrtc.ARCHITECTURES:
        used = nvrtc.compile(text, architecture)
        assert {u.kernel for u in used} == kernels
        assert [u for u in used if u.spills] == [], architecture


@NVRTC
@pytest.mark.skipif(nvrtc.headers() is None, reason="no headers for halves: install nvidia-cuda-runtime")
@pytest.mark.slow
@pytest.mark.parametrize("name", EVERYTHING)
def test_nvrtc_compiles_halves_too(name: str) -> None:
    for storage in (16, 17):
        assert nvrtc.compile(source(symrnn.load(name)), "sm_75", (f"-DSYMRNN_STORAGE={storage}",))


@NVRTC
def test_a_spill_would_be_seen() -> None:
    log = """ptxas info    : Compiling entry function 'k' for 'sm_90'
ptxas         .     64 bytes stack frame, 60 bytes spill stores, 40 bytes spill loads
ptxas info    : Used 255 registers, used 1 barriers, 128 bytes smem"""
    assert nvrtc.usage(log) == [nvrtc.Usage("k", 255, 100, 128)]


@NVRTC
def test_nvrtc_refuses_what_is_wrong() -> None:
    with pytest.raises(symrnn.UsageError, match="NVRTC refuses the kernels for sm_90"):
        nvrtc.compile("no CUDA", "sm_90")
    with pytest.raises(symrnn.UsageError, match="sm_1"):
        nvrtc.compile(source(symrnn.load("elman")), "sm_1")
