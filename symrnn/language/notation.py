"""Notation of papers, of LaTeX and of other libraries, and what is written for it here."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from symrnn.functions.calls import callable_names
from symrnn.language.reserved import KEYWORDS

#: Signs of papers and what is written for them here.
SIGNS = dict.fromkeys("×·⋅", "* or @") | dict.fromkeys("⊙∘∗◦", "*") | dict.fromkeys("−–—", "-")
SIGNS |= {"÷": "/", "≥": ">=", "≤": "<=", "←": "=", "⊗": "outer(a, b)", "‖": "norm(a)", "√": "sqrt(a)"}
SIGNS |= {"∑": "sum(a)", "Σ": "Sigma", "⊤": ".T", "⟨": "dot(a, b)", "⟩": "dot(a, b)", "′": ".T"}
SIGNS |= {"∞": "a large number, such as 1e9,"}

#: Commands of LaTeX other than functions and letters.
COMMANDS = {
    **dict.fromkeys(("odot", "circ", "ast"), "*"),
    **dict.fromkeys(("cdot", "times"), "* or @"),
    **dict.fromkeys(("top", "intercal"), ".T"),
    **dict.fromkeys(("left", "bigl", "Bigl"), "("),
    **dict.fromkeys(("right", "bigr", "Bigr"), ")"),
    "otimes": "outer(a, b)",
    "frac": "a / b",
    "dfrac": "a / b",
    "ln": "log",
    "lVert": "norm(a)",
    "Vert": "norm(a)",
    "geq": ">=",
    "leq": "<=",
    "ge": ">=",
    "le": "<=",
    "gets": "=",
    "leftarrow": "=",
    "infty": "a large number, such as 1e9",
}
ACCENTS = {"tilde": "tilde", "widetilde": "tilde", "hat": "hat", "widehat": "hat", "bar": "bar", "overline": "bar"}
COMBINING = {"TILDE": "tilde", "CIRCUMFLEX ACCENT": "hat", "MACRON": "bar", "OVERLINE": "bar", "DOT ABOVE": "dot"}

GREEK = """alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau upsilon phi
chi psi omega""".split()  # noqa: SIM905 - words read better as words

#: Functions of other libraries, and what can be written for them here, or why nothing can.
ELSEWHERE = {
    **dict.fromkeys(("matmul", "mm", "bmm", "mv"), "Write a @ b."),
    **dict.fromkeys(("multiply", "mul", "hadamard"), "Write a * b."),
    **dict.fromkeys(("concatenate", "cat", "hstack", "vstack"), "Write concat(a, b)."),
    **dict.fromkeys(("logistic", "sigm", "expit"), "Write sigmoid(a)."),
    **dict.fromkeys(("power", "pow"), "Write a ** b."),
    **dict.fromkeys(("inner", "vdot"), "Write dot(a, b)."),
    **dict.fromkeys(("ln_", "layernormalization"), "Write layer_norm(a)."),
    **dict.fromkeys(("hardtanh", "hard_tanh"), "Write clip(a, -1, 1)."),
    **dict.fromkeys(("heaviside", "step"), "Write where(a > 0, 1, 0)."),
    **dict.fromkeys(("log_softmax", "logsoftmax"), "Write a - logsumexp(a)."),
    **dict.fromkeys(("linear", "dense"), "Write W @ a + b."),
    "maximum": "Write max(a, b).",
    "minimum": "Write min(a, b).",
    **dict.fromkeys(("transpose", "t"), "Write a.T."),
    "dropout": "Write a * mask, with the mask as an input.",
    "diag": "Write a * b, the product by components, for diag(a) @ b.",
    "trace": "Write sum(sum(a * identity(H))) for the sum of the diagonal.",
    "eye": "Write identity(H).",
    **dict.fromkeys(("ones", "zeros", "ones_like", "zeros_like"), "Write 1 or 0: a number goes with every shape."),
    "square": "Write a ** 2.",
    "rsqrt": "Write 1 / sqrt(a).",
    "ln": "Write log(a).",
    "log2": "Write log(a) / log(2).",
    "log10": "Write log(a) / log(10).",
    "exp2": "Write 2 ** a.",
    "swish": "Write silu(a).",
    "mish": "Write a * tanh(softplus(a)).",
    "softsign": "Write a / (1 + abs(a)).",
    "relu6": "Write clip(a, 0, 6).",
    "clamp": "Write clip(a, lo, hi).",
    "sign": "Write where(a > 0, 1, -1).",
    "tan": "Write sin(a) / cos(a).",
    "sinh": "Write (exp(a) - exp(-a)) / 2.",
    "cosh": "Write (exp(a) + exp(-a)) / 2.",
    **dict.fromkeys(("asinh", "arcsinh"), "Write log(a + sqrt(a ** 2 + 1))."),
    **dict.fromkeys(("atanh", "arctanh"), "Write log((1 + a) / (1 - a)) / 2."),
    "var": "Write mean((a - mean(a)) ** 2).",
    "std": "Write sqrt(mean((a - mean(a)) ** 2)).",
    "einsum": "Write the product itself: a @ b, outer(a, b), dot(a, b) or sum(a * b), with axes by name.",
    **dict.fromkeys(
        ("atan", "arctan", "atan2", "arctan2", "asin", "arcsin", "acos", "arccos"),
        "No function here makes an inverse of sin, cos or tan; to squash a value, tanh(a) or a / (1 + abs(a)) will do.",
    ),
    **dict.fromkeys(
        ("mod", "fmod", "remainder"),
        "A remainder cannot be written: it jumps; what comes and goes in time can be an input.",
    ),
    **dict.fromkeys(
        ("floor", "ceil", "round", "trunc", "fix", "rint"),
        "A rounded value cannot be written: its derivative is zero; what is known beforehand can be an input.",
    ),
    **dict.fromkeys(
        ("argmax", "argmin", "argsort", "sort", "topk", "one_hot", "onehot"),
        "The order of entries cannot be computed: it has no derivative; softmax(a) says how large each is among all.",
    ),
    **dict.fromkeys(
        ("inv", "inverse", "pinv", "solve", "det"),
        "An inverse or a determinant cannot be written; 1 / a divides by components.",
    ),
    **dict.fromkeys(
        ("stop_gradient", "detach", "no_grad"),
        "Derivatives go through every value that is computed; what needs none can be an input or a const.",
    ),
    **dict.fromkeys(
        ("cumsum", "cumprod", "cummax"),
        "Along time write a state, like s = s[t-1] + a; along an axis it cannot be written.",
    ),
    **dict.fromkeys(
        ("reshape", "view", "flatten", "ravel", "squeeze", "unsqueeze", "expand_dims", "permute", "swapaxes", "stack"),
        "Axes have names and stay what they are; outer(a, b), concat(a, b), .T and sum(a) lead to others.",
    ),
    **dict.fromkeys(
        ("split", "chunk", "slice"),
        "Parts of a value are values by themselves: write an equation with weights of its own for each.",
    ),
    **dict.fromkeys(
        ("rand", "randn", "random", "normal", "bernoulli"),
        "Nothing is drawn in a cell; random numbers can be an input.",
    ),
}


@dataclass(frozen=True)
class Slip:
    """Where in a line something foreign stands (columns from 0), what is wrong, what to write."""

    column: int
    width: int
    kind: str
    wrong: str
    advice: str


def foreign(code: str) -> Slip | None:
    """The first thing in a line of code, its comment taken off, that is written differently here."""
    found = (slip for pattern, explain in _PATTERNS for m in pattern.finditer(code) if (slip := explain(m)))
    return min(found, key=lambda s: (s.column, -s.width), default=None)


def elsewhere(name: str) -> str:
    """What to write for another library's function, or for one of ours in other letters; or why not; or nothing."""
    own = {n.replace("_", ""): n for n in callable_names()}
    if name not in own.values() and name.lower().replace("_", "") in own:
        return f"Write {own[name.lower().replace('_', '')]}(…)."
    return ELSEWHERE.get(name.lower(), "")


def code_lines(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Number (from 1) and code of every line below the docstring, comments taken off."""
    closing, begun = "", False
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if closing:
            closing = "" if closing in line else closing
        elif not begun and re.match(r"[rR]?[\"']", text):
            opening = re.match(r"[rR]?(\"\"\"|''')", text)
            begun = True
            if opening and opening[1] not in text[opening.end() :]:
                closing = opening[1]
        elif text and not text.startswith("#"):
            begun = True
            yield number, line.split("#")[0]


def named_outside_brackets(lines: Sequence[str]) -> set[str]:
    """Every name of a file but those of axes that only declarations hold."""
    return {n for _, code in code_lines(lines) for n in re.findall(r"[A-Za-z]\w*", re.sub(r"\[[^\]]*\]", "", code))}


# -- what each pattern means ---------------------------------------------------------------------------------


def _slip(match: re.Match[str], wrong: str, advice: str, kind: str = "syntax") -> Slip:
    return Slip(match.start(), match.end() - match.start(), kind, wrong, advice)


def _latex(match: re.Match[str]) -> Slip:
    word, inside, following = match["word"], match["inside"], match["following"]
    name = word if word in (*GREEK, *(g.capitalize() for g in GREEK)) else word.removeprefix("var")
    if word == "sigma" and following:
        plain = "sigmoid"
    elif inside and word in ACCENTS:
        plain = f"{inside}_{ACCENTS[word]}"
    elif inside and word.startswith(("math", "text", "bold", "operatorname", "bm", "vec")):
        plain = inside
    elif name.lower() in GREEK:
        plain = _speakable(name)
    else:
        plain = word if word in set(callable_names()) else COMMANDS.get(word, "")
    shown = match["shown"]
    advice = f"Write {plain}." if plain else "Write plain names and the functions of the language."
    return Slip(match.start(), len(shown), "syntax", f"{shown} is LaTeX, which is not read here.", advice)


def _subscript(match: re.Match[str]) -> Slip:
    name, index = match["name"], match["index"].replace(" ", "")
    if re.fullmatch(r"[tkn]-\d+", index):
        plain = f"{name}[t{index[1:]}]"
    elif index == "t":
        plain = name
    else:
        plain = f"{name}_{re.sub(r'[^A-Za-z0-9]', '', index)}"
    return _slip(match, "Braces have no meaning here.", f"Write {plain}.")


def _transposed(match: re.Match[str]) -> Slip:
    return _slip(match, f"{match[0]} is not read as a transpose.", f"Write {match['name']}.T.")


def _power(match: re.Match[str]) -> Slip:
    return _slip(
        match, "^ has no meaning here.", "Write a ** b for a power, W.T for a transpose, h[t-1] for a past value."
    )


def _minus_one(match: re.Match[str]) -> Slip:
    plain = f"{match['name']}[t-{match['lag']}]"
    wrong = f"{match[0]} is {match['name']}_t less {match['lag']}, not a past value."
    return _slip(match, wrong, f"Write {plain} for the past value, and put spaces around the sign of a difference.")


def _column(match: re.Match[str]) -> Slip | None:
    if match.string.split()[0] in KEYWORDS:
        return None
    return _slip(match, "Vectors are not joined with ; here.", "Write concat(a, b).")


def _comment(match: re.Match[str]) -> Slip | None:
    """What begins a comment in other languages, where no operator could stand."""
    before, after = match.string[: match.start()].split(), match.string[match.end() :]
    declares, prose = before[:1] and before[0] in KEYWORDS, _PROSE.match(after)
    if not declares and before and not (prose and match[0] != "%"):
        return None
    return _slip(match, f"{match[0]} has no meaning here.", "A comment begins with #.")


def _tilde(match: re.Match[str]) -> Slip:
    return _slip(match, f"{match[0]}: a tilde has no meaning here.", f"Write {match['name']}_tilde.", "name")


def _bars(match: re.Match[str]) -> Slip:
    return _slip(match, f"{match[0]} has no meaning here.", "Write abs(a) for an absolute value, norm(a) for a length.")


def _prime(match: re.Match[str]) -> Slip | None:
    if "'" in match.string[: match.end() - 1]:
        return None  # the end of a string
    if match["name"].lower() in ("b", "f", "r", "u", "br", "rb", "fr", "rf") and "'" in match.string[match.end() :]:
        return None
    advice = f"Write {match['name']}.T for the transpose, {match['name']}[t-1] for the last value, or another name."
    return _slip(match, f"{match[0]}: a prime has no meaning here.", advice)


def _not_ascii(match: re.Match[str]) -> Slip | None:
    word = match[0]
    if word.isascii():
        return None
    plain = "" if len(word) == 1 and word in SIGNS else plain_form(word)
    if plain == "sigma" and match.string[match.end() :].lstrip().startswith("("):
        plain = "sigmoid"
    if plain:
        taken = re.search(rf"(?<!\w){re.escape(plain)}(?!\w)", match.string)
        other = f", or another name if it is not the {plain} beside it" if taken else ""
        return _slip(match, f"{word!r} is not plain ASCII.", f"Write {plain}{other}.", "name")
    return None


def _sign(match: re.Match[str]) -> Slip:
    char = match[0]
    code = f"U+{ord(char):04X}"
    name = unicodedata.name(char, "").lower()
    if char.isspace():
        return _slip(match, f"There is a {name or 'blank'} ({code}) here.", "Replace it by a plain space.")
    if char in SIGNS:
        return _slip(match, f"{char!r} has no meaning here.", f"Write {SIGNS[char]} instead.")
    if char.isalnum():
        advice = "Names are ASCII letters, digits and underscores, and start with a letter."
        return _slip(match, f"{char!r} ({code}, {name}) is not an ASCII letter.", advice, "name")
    return _slip(match, f"{char!r} ({code}, {name}) has no meaning here.", "")


#: Two words with nothing between them.
_PROSE = re.compile(r"\s*[A-Za-z]\w*\s+(?!(?:and|or|if|else)\b)[A-Za-z]")

_PATTERNS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], Slip | None]], ...] = (
    (
        re.compile(r"(?P<shown>\\(?P<word>[A-Za-z]+)(\{(?P<inside>\w+)\})?)(?P<following>\s*(\\left\s*)?\()?"),
        _latex,
    ),
    (re.compile(r"(?<!\w)(?P<name>[A-Za-z]\w*?)_\{(?P<index>[^{}]*)\}"), _subscript),
    (re.compile(r"(?<!\w)(?P<name>\w+)\s*\^\s*(\{\s*)?(\\top|\\intercal|T\b)(\s*\})?"), _transposed),
    (re.compile(r"\^"), _power),
    (re.compile(r"//|/\*|--|%"), _comment),
    (re.compile(r"(?<!\w)(?P<name>[A-Za-z]\w*)~"), _tilde),
    (re.compile(r"\|+"), _bars),
    (re.compile(r"\[(?:[^\[\];]|\[[^\[\]]*\])*;"), _column),
    (re.compile(r"\b(?P<name>[A-Za-z]\w*)_t-(?P<lag>\d+)\b"), _minus_one),
    (re.compile(r"(?<!\w)(?P<name>\w+(\[[^\]]*\])?)'"), _prime),
    (re.compile(r"[\w\u0300-\u036f\u2070-\u209f]+"), _not_ascii),
    (re.compile(r"[^\x00-\x7f]"), _sign),
)


# -- plain names ---------------------------------------------------------------------------------------------


def plain_form(word: str) -> str:
    """``γ_x`` → ``gamma_x``, ``Δt`` → ``Delta_t``, ``xₜ₋₁`` → ``x[t-1]``, ``h̃`` → ``h_tilde``; or nothing."""
    parts: list[tuple[str, str]] = []
    for char in _decomposed(word):
        kind, text = _read(char)
        if kind == "unknown":
            return ""
        if parts and parts[-1][0] == kind and kind not in ("greek", "accent"):
            parts[-1] = (kind, parts[-1][1] + text)
        else:
            parts.append((kind, text))
    plain, last = "", ""
    for kind, text in parts:
        plain += _joined(plain, last, kind, text)
        last = kind
    return plain if re.match(r"[A-Za-z]", plain) else ""


def _decomposed(word: str) -> str:
    """Accents apart from their letters, indices as they are."""
    return "".join(c if _read(c)[0] != "unknown" else unicodedata.normalize("NFD", c) for c in word)


def _read(char: str) -> tuple[str, str]:
    """The kind of a character, and what it is in ASCII."""
    name, simple = unicodedata.name(char, ""), unicodedata.normalize("NFKC", char).replace("−", "-")
    if char.isascii():
        return "plain", char
    if "SUBSCRIPT" in name:
        return _read_index("below", simple)
    if "SUPERSCRIPT" in name or name.startswith("MODIFIER LETTER"):
        return _read_index("above", simple)
    if name.startswith("COMBINING "):
        return "accent", COMBINING.get(name.removeprefix("COMBINING "), "")
    if simple != char and simple.isascii() and simple.isalnum():
        return "plain", simple
    letter = re.match(r"GREEK (SMALL|CAPITAL) LETTER (?:FINAL )?(\w+)", unicodedata.name(simple[:1] or " ", ""))
    if letter and (spoken := letter[2].lower().replace("lamda", "lambda")) in GREEK:
        return "greek", _speakable(spoken.capitalize() if letter[1] == "CAPITAL" else spoken)
    return "unknown", char


def _read_index(kind: str, simple: str) -> tuple[str, str]:
    if simple.isascii():
        return kind, simple
    letter = _read(simple)
    return (kind, letter[1]) if letter[0] == "greek" else ("unknown", simple)


def _joined(before: str, last: str, kind: str, text: str) -> str:
    """The next part of a plain name, with what joins it to the parts before."""
    if kind == "below":
        return "" if text == "t" else f"[{text}]" if re.fullmatch(r"t-\d+", text) else f"_{text}"
    if kind == "above":
        return ".T" if text in ("T", "⊤") else f" ** {text}" if text.isdigit() else f"_{text}"
    if kind == "accent":
        return f"_{text}" if text else ""
    joins = before and not before.endswith("_") and not text.startswith("_") and "greek" in (last, kind)
    return f"_{text}" if joins else text


def _speakable(letter: str) -> str:
    """Python keeps the word lambda for itself."""
    return "lam" if letter == "lambda" else letter
