"""Files an attacker would write: the gallery's cells, mangled token by token from a seed."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

TOKEN = re.compile(r"[A-Za-z_]\w*|\d+\.?\d*(?:[eE][+-]?\d+)?|\*\*|[<>]=|\n|[^\S\n]+|#[^\n]*|\S")
# fmt: off
NUMBERS = [
    "0", "1", "2", "3", "0.5", "-1", "-0.5", "1e-5", "1e308", "1e309", "1e-308", "5e-324", "1e-400", "9**9**9",
    "2**1e9", "1e99999", "0x10", "1_000", "1j", "00", "1.", ".5", "99999999999999999999999999", "0.1e-300",
    "(-2)**0.5", "1/3", "1e154", "1e-200", "0.3333333333333333333333333333333333",
]
# fmt: on
NUMBERS += ["7" * 61, "7" * 5_000, "1" + "0" * 400, "0." + "0" * 400 + "1"]
# fmt: off
OPERATORS = [
    "+", "-", "*", "/", "**", "@", ">", "<", ">=", "<=", "=", "==", "%", "//", "and", "not", ":=", ",", ".",
    ";",
]
WORDS = [
    "x", "h", "t", "e", "E", "I", "N", "O", "Q", "S", "pi", "zoo", "nan", "oo", "inf", "Abs", "sign", "gamma",
    "beta", "zeta", "lambda", "None", "True", "self", "np", "math", "sp", "exp", "log", "sqrt", "abs", "tanh",
    "sigmoid", "max", "min", "where", "clip", "norm", "softmax", "sum", "mean", "dot", "outer", "concat",
    "identity", "layer_norm", "logsumexp", "relu", "gelu", "erf", "silu", "elu", "param", "const", "state",
    "input", "output", "extends", "import", "print", "__import__", "eval", "T", "B", "dtype", "seed", "d_h",
    "W", "U", "b",
]
PIECES = [
    "0*h[t-1]", "h[t-1]", "x-x", "x/x", "x**0", "x**2", "x**0.5", "x**-1", "x**x", "sqrt(x**2)", "x/abs(x)",
    "abs(abs(x))", "(x**2)**0.5", "(x**0.5)**2", "exp(log(x))", "log(exp(x))", "log(-1)", "log(0)", "sqrt(-2)",
    "(-2)**0.5", "exp(1000)", "exp(-1000)", "1/0", "0/0", "0**0", "0**-1", "where(1>0,x,x)", "where(x>x,x,-x)",
    "max(x,x)", "min(1,2)", "clip(x,2,1)", "abs(-3)", "sign(x)", "tanh(0)", "sin(0)*x", "sum(1)", "norm(0)",
    "mean(x-x)", "softmax(0*x)", "dot(x,x)", "identity(H)", "identity(I)@x", "x.T", "(x)", "[x]", "{x}", "x[t]",
    "x[t-1]", "x[t-32]", "x[t+1]", "x.real", "x()", "lambda:0", "-x", "--x", "+x", "(x,)", "x;y", "pow(x,2)",
    "concat(x,x)", "outer(x,x)", "logsumexp(x)", "layer_norm(x)", "max(x)", "t", "t/t", "exp(t)", "H", "I*x",
    "x*1e300*1e300", "x/1e300/1e300", "1e200**2", "x**1e9", "x**0.1", "x**(1/3)", "x**-0.5", "(x+1)**9",
    "(x+1)**99", "((x**2)**2)**2", "x**2**2**2", "abs(x)**2", "abs(x)/x", "exp(x)**2", "(2*x)**0.5",
    "(-x)**0.5", "(x*x)**0.5", "sqrt(x)*sqrt(x)", "sqrt(4)", "sqrt(2)*x", "log(2)", "2**0.5", "2**0.5*x",
]
# fmt: on
CHARACTERS = [*"\0\x07\x08\x0b\x0c\r\x1b\x1c\x1d\x1e\x1f\x7f\x85\u2028\u2029\ufeff\u200b\u202e\ud800\u00a0\u3000\t"]
CHARACTERS += [*"éγ∂²×⊙−’“”\\`$?!^~|&{}[]()'\"#;:\U0001d465\U0001f600"]

Tokens = list[str]


def mutant(text: str, seed: int) -> str:
    """The text after one to four mutations; the same seed gives the same text."""
    rng = random.Random(seed)
    tokens = TOKEN.findall(text)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        rng.choice(MUTATIONS)(tokens, rng)
    return "".join(tokens)


def _some(tokens: Tokens, rng: random.Random, wanted: Callable[[str], object]) -> int | None:
    found = [k for k, token in enumerate(tokens) if wanted(token)]
    return rng.choice(found) if found else None


def delete(tokens: Tokens, rng: random.Random) -> None:
    if tokens:
        del tokens[rng.randrange(len(tokens))]


def duplicate(tokens: Tokens, rng: random.Random) -> None:
    if tokens:
        k = rng.randrange(len(tokens))
        tokens[k:k] = tokens[k : k + rng.choice((1, 1, 3, 8))]


def swap(tokens: Tokens, rng: random.Random) -> None:
    if tokens:
        a, b = rng.randrange(len(tokens)), rng.randrange(len(tokens))
        tokens[a], tokens[b] = tokens[b], tokens[a]


def bracket(tokens: Tokens, rng: random.Random) -> None:
    tokens.insert(rng.randint(0, len(tokens)), rng.choice([*"()[]{}", "(" * 70, ")" * 70, "tanh(" * 40]))


def number(tokens: Tokens, rng: random.Random) -> None:
    k = _some(tokens, rng, lambda token: token[0].isdigit())
    if k is not None:
        tokens[k] = rng.choice(NUMBERS)


def operator(tokens: Tokens, rng: random.Random) -> None:
    k = _some(tokens, rng, lambda token: token in OPERATORS)
    if k is not None:
        tokens[k] = rng.choice(OPERATORS[:6] * 3 + OPERATORS)


def name(tokens: Tokens, rng: random.Random) -> None:
    """One name becomes another of the file, a word of the language or of SymPy, or a number."""
    k = _some(tokens, rng, str.isidentifier)
    if k is not None:
        own = [token for token in tokens if token.isidentifier()]
        tokens[k] = rng.choice([rng.choice(own), rng.choice(own), rng.choice(WORDS), rng.choice(NUMBERS)])


def piece(tokens: Tokens, rng: random.Random) -> None:
    """A name on the right of an equation becomes an expression that SymPy rewrites, or that has no value."""
    k = _some(tokens, rng, str.isidentifier)
    if k is not None:
        tokens[k] = f"({rng.choice(PIECES).replace('x', tokens[k])})"


def character(tokens: Tokens, rng: random.Random) -> None:
    k = rng.randint(0, len(tokens))
    tokens.insert(k, rng.choice(CHARACTERS) if rng.random() < 0.7 else "# " + rng.choice(CHARACTERS))


def repeat(tokens: Tokens, rng: random.Random) -> None:
    """One right-hand side many times over."""
    lines = "".join(tokens).split("\n")
    k = rng.randrange(len(lines))
    left, equals, right = lines[k].split("#")[0].partition(" = ")
    if equals:
        join = rng.choice((" + ", " * ", " - ", " / ", " ** ", " @ "))
        lines[k] = f"{left} = {join.join([f'({right})'] * rng.choice((2, 3, 12, 40)))}"
        tokens[:] = TOKEN.findall("\n".join(lines))


def wrap(tokens: Tokens, rng: random.Random) -> None:
    """A right-hand side inside functions, or multiplied away."""
    lines = "".join(tokens).split("\n")
    k = rng.randrange(len(lines))
    left, equals, right = lines[k].split("#")[0].partition(" = ")
    if equals:
        shape = rng.choice(
            ("0 * (%)", "(%) - (%)", "abs(%)", "sqrt((%)**2)", "(%)**0.5", "((%)**2)**0.5", "exp(exp(%))")
        )
        shape = rng.choice((shape, "1e300 * (%) * 1e300", "(%) / 0", "log(-abs(%))", "sum(%)", "where(% > 0, %, 0)"))
        lines[k] = f"{left} = {shape.replace('%', right)}"
        tokens[:] = TOKEN.findall("\n".join(lines))


def line(tokens: Tokens, rng: random.Random) -> None:
    """A line deleted, moved, or an equation chained many times on its own result."""
    lines = "".join(tokens).split("\n")
    k = rng.randrange(len(lines))
    moved = lines.pop(k)
    if rng.random() < 0.5:
        lines.insert(rng.randint(0, len(lines)), moved)
    tokens[:] = TOKEN.findall("\n".join(lines))


MUTATIONS = (
    delete,
    duplicate,
    swap,
    bracket,
    number,
    operator,
    name,
    name,
    piece,
    piece,
    character,
    repeat,
    wrap,
    line,
)
