"""A cell under a softmax output layer, both generated, and Adam: all that learning to predict characters takes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from symrnn.build import compile
from symrnn.demo.text import Ids, streams
from symrnn.errors import UsageError
from symrnn.language.cell import Cell, axis_parts, axis_size
from symrnn.language.load import load

Array = np.ndarray[Any, np.dtype[np.float32]]
Arrays = dict[str, Array]

#: Length of the axes that are neither the alphabet nor the output: slots, keys, ranks.
OTHER_AXES = 32


@dataclass(frozen=True)
class Network:
    """What a character model consists of: generated modules and the parameters of body and head."""

    body: ModuleType
    head: ModuleType
    body_params: Arrays
    head_params: Arrays
    sizes: dict[str, int]

    @property
    def parameters(self) -> Arrays:
        """All arrays that are learnt, by name; updated in place."""
        body = {f"body.{k}": v for k, v in self.body_params.items()}
        return body | {f"head.{k}": v for k, v in self.head_params.items()}

    def start(self, batch: int) -> Arrays:
        """The state before the first character."""
        states = self.body.STATES.items()
        return {n: np.zeros((batch, *(axis_size(a, self.sizes) for a in axes)), np.float32) for n, axes in states}

    def emit(self, ids: Ids, state: Arrays) -> tuple[Array, Array, Arrays, Any]:
        """Characters (T, B) → what the cell emits, as it is and flat (T, B, H), its last state and its tape."""
        y, last, tape = self.body.forward(self.body_params, self.one_hot(ids), state)
        return y, y.reshape(*ids.shape, -1), last, tape

    def one_hot(self, ids: Ids) -> Array:
        return np.asarray(np.eye(self.head_params["V"].shape[0], dtype=np.float32)[ids])

    def loss(self, here: Ids, following: Ids, state: Arrays) -> tuple[float, Arrays]:
        """Mean loss in bits a character, and the last state."""
        _, flat, last, _ = self.emit(here, state)
        losses, _, _ = self.head.forward(self.head_params, {"h": flat, "target": self.one_hot(following)})
        return float(losses.mean()) / math.log(2), last

    def gradients(self, here: Ids, following: Ids, state: Arrays) -> tuple[float, Arrays, Arrays]:
        """Mean loss in bits a character, the last state, and the gradients of the mean loss in nats."""
        y, flat, last, tape = self.emit(here, state)
        losses, _, head_tape = self.head.forward(self.head_params, {"h": flat, "target": self.one_hot(following)})
        d_losses = np.full_like(losses, 1 / losses.size)
        d_head, d_inputs, _ = self.head.backward(self.head_params, head_tape, d_losses)
        d_body, _, _ = self.body.backward(self.body_params, tape, d_inputs["h"].reshape(y.shape))
        named = {f"body.{k}": v for k, v in d_body.items()} | {f"head.{k}": v for k, v in d_head.items()}
        return float(losses.mean()) / math.log(2), last, named


def network(cell: Cell, body: ModuleType, characters: int, hidden: int, seed: int) -> Network:
    """Fresh parameters for a cell that reads one-hot characters; UsageError if the cell has no such input."""
    sizes = _sizes(cell, characters, hidden)
    head = compile(load("heads/softmax_cross_entropy"))
    width = math.prod(axis_size(a, sizes) for a in cell.outputs[0].axes)
    return Network(
        body,
        head,
        body.init(**sizes, seed=seed),
        head.init(H=width, K=characters, seed=seed + 1),
        sizes,
    )


def _sizes(cell: Cell, characters: int, hidden: int) -> dict[str, int]:
    """The input is as long as the alphabet, the output as `hidden` says, everything else is small."""
    if len(cell.inputs) != 1 or len(cell.inputs[0].axes) != 1 or "+" in cell.inputs[0].axes[0]:
        raise UsageError(f"{cell.name} cannot read text:", "the demo wants a cell with one input, a vector.")
    if len(cell.outputs) != 1:
        raise UsageError(f"{cell.name} cannot write text:", "the demo wants a cell with one output.")
    emitted = {p for a in cell.outputs[0].axes for p in axis_parts(a)}
    sizes = {a: hidden if a in emitted else OTHER_AXES for a in cell.axes}
    return sizes | {cell.inputs[0].axes[0]: characters}


@dataclass
class Adam:
    """Kingma and Ba 2015, algorithm 1, after clipping the norm of all gradients together."""

    parameters: Arrays
    clip: float = 1.0
    steps: int = 0

    def __post_init__(self) -> None:
        self.mean = {k: np.zeros_like(v) for k, v in self.parameters.items()}
        self.square = {k: np.zeros_like(v) for k, v in self.parameters.items()}

    def update(self, gradients: Arrays, rate: float) -> None:
        """One step, in place."""
        self.steps += 1
        norm = math.sqrt(sum(float(np.vdot(g, g)) for g in gradients.values()))
        scale = np.float32(min(1.0, self.clip / max(norm, 1e-12)))
        rate *= math.sqrt(1 - 0.999**self.steps) / (1 - 0.9**self.steps)
        for name, value in self.parameters.items():
            g, mean, square = gradients[name] * scale, self.mean[name], self.square[name]
            mean += np.float32(0.1) * (g - mean)
            square += np.float32(0.001) * (g * g - square)
            value -= np.float32(rate) * mean / (np.sqrt(square) + np.float32(1e-8))


@dataclass(frozen=True)
class Update:
    """Where training stands after an update."""

    done: int
    total: int
    characters: int
    loss: float


def train(net: Network, ids: Ids, *, batch: int, steps: int, epochs: int, rate: float) -> Iterator[Update]:
    """Truncated backpropagation: the state is carried from one stretch of text to the next, gradients are not.

    The learning rate falls to zero along half a cosine.
    """
    here, following = streams(ids, batch)
    starts = range(0, len(here) - steps + 1, steps)
    adam, total, done = Adam(net.parameters), epochs * len(starts), 0
    for _ in range(epochs):
        state = net.start(batch)
        for k in starts:
            loss, state, gradients = net.gradients(here[k : k + steps], following[k : k + steps], state)
            if not math.isfinite(loss):
                raise UsageError(f"The loss is no longer finite after {done} updates:", "this cell needs a lower rate.")
            adam.update(gradients, rate * 0.5 * (1 + math.cos(math.pi * done / total)))
            done += 1
            yield Update(done, total, done * batch * steps, loss)


def evaluate(net: Network, here: Ids, following: Ids, steps: int = 64) -> float:
    """Mean loss in bits a character over all streams (T, B), every character counted once."""
    state, bits = net.start(here.shape[1]), 0.0
    for k in range(0, len(here), steps):
        part = here[k : k + steps]
        loss, state = net.loss(part, following[k : k + steps], state)
        bits += loss * part.size
    return bits / here.size


def sample(net: Network, seed_ids: Ids, length: int, temperature: float, seed: int) -> Ids:
    """Text the network writes after reading `seed_ids`, one character at a time."""
    rng, scores = np.random.default_rng(seed), compile(load("heads/linear"))
    ids, state, written = seed_ids[:, None], net.start(1), []
    for _ in range(length):
        _, flat, state, _ = net.emit(ids, state)
        o, _, _ = scores.forward(net.head_params, flat)
        p = np.exp((o[-1, 0].astype(np.float64) - o[-1, 0].max()) / temperature)
        written.append(rng.choice(len(p), p=p / p.sum()))
        ids = np.array([[written[-1]]])
    return np.array(written)
