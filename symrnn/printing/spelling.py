"""How a cell's names are spelled in Python and C: as they are, or with an underscore where they would hide another."""

from __future__ import annotations

import builtins
import keyword
import re

from symrnn.schedule import HVP, INFER, JVP, STATES, STEP, TRAIN
from symrnn.schedule.program import BLOCKS

#: What the templates of all targets call by a name where a cell's names stand beside it.
OF_MODULES = """
    AXES INPUTS OUTPUTS PARAMS STATES SOURCE STORAGE FREE GRAPHS MOST_BLOCKS B T
    NamedTuple Pass Path Tape Workspace agree arrays axis backward before bound cache captured carried check compiled
    cotangent cp cublas ctypes dinputs dparams dstart dstate dtype erf erfc filled fill forward gemm give_back given
    init inputs kept kernel key known last layout_of length loop math measured name named np one_hot outer_sum outputs
    params passes product ready results reverse scratch seen sigmoid size sizes start state steps t
    take tape threading times weakref work after array
    along dot_dparams dot_dstart dot_inputs dot_last dot_params dot_state first_step hvp infer jvp one_step step zeros
    text_beside
    APART Workspace borrowed contextmanager cotangents hvp_passes infer_passes jvp_passes lengths only part run
    states_backward_passes states_forward_passes step_passes train_passes
    MEMORY Checkpoints States backward_sqrt backward_states cut forward_sqrt forward_states joined memory
    nbytes segments begin no_compiler shown whole
""".split()  # noqa: SIM905 - words read better as words

IN_PYTHON = frozenset([*keyword.kwlist, *dir(builtins), *OF_MODULES])

IN_C = frozenset(
    """alignas alignof and and_eq asm auto bitand bitor bool break case catch char class compl concept const constexpr
    const_cast continue decltype default delete do double dynamic_cast else enum explicit export extern false float for
    friend goto if inline int int64 long mutable namespace new noexcept not not_eq nullptr operator or or_eq private
    protected public register reinterpret_cast requires return short signed sizeof static static_assert static_cast
    struct switch template this thread_local throw true try typedef typeid typename union unsigned using virtual void
    volatile wchar_t while xor xor_eq exp expm1 log log1p sqrt sin cos tanh sigmoid erf erfc pow absolute larger smaller
    choose precedes square compute_t storage_t t n k total best main threadIdx blockIdx blockDim gridDim warpSize
    alloca assert errno inline_point issubnormal linux math_errhandling signbit stderr stdin stdout strdupa strndupa
    unix at sizes t_ count stride first first_step found value
    """.split()  # noqa: SIM905 - words read better as words
)
#: EOF, M_PI, SNANF32, htobe16: what the headers of a system define instead of declaring.
MACRO = re.compile(r"[A-Z][A-Z0-9_]{2,}[a-z0-9]*|[bl]e\d+toh|hto[bl]e\d+")
SWEEPS = [name for e in (TRAIN, STATES, INFER, STEP, JVP, HVP) for name in (e.forward, e.backward) if name]
#: Kernels, and the functions they call: forward_before2, backward_step_sum_point.
KERNEL = re.compile(rf"({'|'.join(SWEEPS)})_({'|'.join((*BLOCKS, 'sequence'))})(\w*[a-z0-9])?")


def in_python(name: str) -> str:
    """The Python name of a value, a parameter or an axis inside a function of a module."""
    return f"{name}_" if name in IN_PYTHON or KERNEL.fullmatch(name) else name


def constant(name: str) -> str:
    """The Python name of a constant at the top of a module: no argument of its functions has it either."""
    return f"{name}_" if name == "dy" else in_python(name)


def means_something_in_c(name: str) -> bool:
    """Is the name taken already, in the language, its headers or the kernels?"""
    return name in IN_C or bool(MACRO.fullmatch(name) or KERNEL.fullmatch(name))
