"""The text of the demo: the documentation that comes with Python, as numbers, and what simple counting makes of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

Ids = np.ndarray[Any, np.dtype[np.intp]]


@dataclass(frozen=True)
class Corpus:
    """A text as indices into its alphabet, cut into a part to learn from and a part held out."""

    alphabet: str
    train: Ids
    held_out: Ids

    def text(self, ids: Ids) -> str:
        return "".join(self.alphabet[k] for k in ids)


def documentation() -> str:
    """The topics of `help()`, in sorted order, each paragraph once.

    Topics quote each other at length; repeated paragraphs would leak from one part of the text into the other.
    """
    from pydoc_data.topics import topics  # noqa: PLC0415 (half a megabyte that only the demo reads)

    paragraphs = (p for name in sorted(topics) for p in re.split(r"\n{2,}", topics[name].strip("\n")))
    return "\n\n".join(dict.fromkeys(paragraphs))


def corpus(text: str, held_out: float = 0.1) -> Corpus:
    """The text with its last part held out."""
    alphabet = "".join(sorted(set(text)))
    ids = np.searchsorted(np.array(list(alphabet)), np.array(list(text)))
    cut = round(len(ids) * (1 - held_out))
    return Corpus(alphabet, ids[:cut], ids[cut:])


def streams(ids: Ids, count: int) -> tuple[Ids, Ids]:
    """The text as `count` streams side by side: characters (T, count) and those that follow them (T, count)."""
    length = (len(ids) - 1) // count
    here, following = ids[: length * count], ids[1 : length * count + 1]
    return here.reshape(count, length).T, following.reshape(count, length).T


@dataclass(frozen=True)
class Baselines:
    """Bits per character of two models that only count, with add-one smoothing."""

    unigram: float
    bigram: float


def baselines(train: Ids, here: Ids, following: Ids, size: int) -> Baselines:
    """Count in the training part; the score is on exactly the characters the network is scored on."""
    single = np.bincount(train, minlength=size) + 1.0
    pairs = np.ones((size, size))
    np.add.at(pairs, (train[:-1], train[1:]), 1)
    unigram = np.log2(single / single.sum())
    bigram = np.log2(pairs / pairs.sum(axis=1, keepdims=True))
    return Baselines(-float(unigram[following].mean()), -float(bigram[here, following].mean()))
