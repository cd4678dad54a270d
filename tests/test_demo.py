"""The demo, piece by piece and, on a small text, as a whole."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import symrnn
from symrnn.cli.main import app
from symrnn.demo.network import Adam, evaluate, network, sample, train
from symrnn.demo.text import Corpus, baselines, corpus, documentation, streams
from symrnn.errors import UsageError

SONG = "the cat sat on the mat, and the rat sat on the cat. " * 60


@pytest.fixture(scope="module")
def song() -> Corpus:
    return corpus(SONG)


# -- text --------------------------------------------------------------------------------------------------


def test_the_documentation_is_english_and_repeats_no_paragraph() -> None:
    text = documentation()
    assert len(text) > 300_000
    assert text.count(" the ") > 1_000
    paragraphs = text.split("\n\n")
    assert len(paragraphs) == len(set(paragraphs))


def test_a_corpus_keeps_the_text_and_its_order(song: Corpus) -> None:
    assert song.text(song.train) + song.text(song.held_out) == SONG
    assert len(song.held_out) == round(len(SONG) * 0.1)


def test_streams_lie_side_by_side_and_targets_follow() -> None:
    here, following = streams(np.arange(11), 2)
    assert here.T.tolist() == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
    assert (following == here + 1).all()


def test_baselines_count_with_one_added() -> None:
    train = np.array([0, 1, 0, 1, 0])
    known = baselines(train, np.array([0, 1]), np.array([1, 1]), size=2)
    assert known.unigram == pytest.approx(-math.log2(3 / 7))
    # 0 is followed by 1 twice out of two, 1 by 0 twice out of two; with one added 3/4 and 1/4
    assert known.bigram == pytest.approx(-(math.log2(3 / 4) + math.log2(1 / 4)) / 2)


def test_baselines_are_entropies_where_the_text_has_one() -> None:
    rng = np.random.default_rng(0)
    ids = rng.choice(4, size=200_000, p=[0.5, 0.25, 0.125, 0.125])
    known = baselines(ids, ids[:-1], ids[1:], size=4)
    assert known.unigram == pytest.approx(1.75, abs=0.01)
    assert known.bigram == pytest.approx(1.75, abs=0.01)


# -- network and training ----------------------------------------------------------------------------------


def test_adam_is_adam() -> None:
    value = np.array([1.0, -2.0], np.float32)
    adam, mean, square, expected = Adam({"w": value}, clip=1e9), np.zeros(2), np.zeros(2), np.array([1.0, -2.0])
    for step, g in enumerate([np.array([0.3, -0.1]), np.array([0.2, 0.5]), np.array([-1.0, 0.0])], start=1):
        adam.update({"w": g.astype(np.float32)}, rate=0.1)
        mean, square = 0.9 * mean + 0.1 * g, 0.999 * square + 0.001 * g * g
        expected -= 0.1 * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
        assert value == pytest.approx(expected, rel=1e-4)


def test_adam_clips_the_norm_of_all_gradients_together() -> None:
    adam = Adam({"a": np.zeros(1, np.float32), "b": np.zeros(1, np.float32)}, clip=1.0)
    adam.update({"a": np.array([30.0], np.float32), "b": np.array([40.0], np.float32)}, rate=0.1)
    assert adam.mean["a"] == pytest.approx(0.1 * 0.6)
    assert adam.mean["b"] == pytest.approx(0.1 * 0.8)


def test_gradients_of_the_whole_network_agree_with_differences(song: Corpus) -> None:
    cell = symrnn.load("gru")
    net = network(cell, symrnn.compile(cell), len(song.alphabet), hidden=5, seed=0)
    here, following = streams(song.train[:81], 4)
    _, _, gradients = net.gradients(here, following, net.start(4))
    rng = np.random.default_rng(1)
    for name, value in net.parameters.items():
        direction = rng.standard_normal(value.shape).astype(np.float32)
        kept = value.copy()
        losses = []
        for sign in (1, -1):
            value[...] = kept + sign * np.float32(0.01) * direction
            losses.append(net.loss(here, following, net.start(4))[0] * math.log(2))
        value[...] = kept
        difference = (losses[0] - losses[1]) / 0.02
        assert float((gradients[name] * direction).sum()) == pytest.approx(difference, rel=0.02, abs=2e-4), name


def test_evaluation_carries_the_state_across_stretches(song: Corpus) -> None:
    cell = symrnn.load("lstm")
    net = network(cell, symrnn.compile(cell), len(song.alphabet), hidden=6, seed=0)
    here, following = streams(song.held_out, 2)
    whole = evaluate(net, here, following, steps=10_000)
    assert evaluate(net, here, following, steps=7) == pytest.approx(whole, rel=1e-5)


def test_training_learns_what_counting_cannot(song: Corpus) -> None:
    cell = symrnn.load("gru")
    net = network(cell, symrnn.compile(cell), len(song.alphabet), hidden=32, seed=0)
    updates = list(train(net, song.train, batch=4, steps=16, epochs=12, rate=0.02))
    assert [u.done for u in updates] == list(range(1, updates[-1].total + 1))
    here, following = streams(song.held_out, 2)
    known = baselines(song.train, here, following, len(song.alphabet))
    assert evaluate(net, here, following) < 0.5 * known.bigram < 0.5 * known.unigram
    written = song.text(sample(net, song.train[-60:], 40, 0.2, seed=0))
    assert written == song.text(sample(net, song.train[-60:], 40, 0.2, seed=0))
    assert "at" in written


def readable() -> list[str]:
    cells = {name: symrnn.load(name) for name in symrnn.gallery()}
    return [n for n, c in cells.items() if len(c.inputs) == 1 and len(c.outputs) == 1 and len(c.inputs[0].axes) == 1]


@pytest.mark.parametrize("name", readable())
def test_nearly_every_gallery_cell_can_read_text(name: str, song: Corpus) -> None:
    cell = symrnn.load(name)
    net = network(cell, symrnn.compile(cell), len(song.alphabet), hidden=8, seed=0)
    updates = list(train(net, song.train[:257], batch=4, steps=8, epochs=1, rate=0.01))
    assert all(math.isfinite(u.loss) for u in updates)
    assert len(sample(net, song.train[:3], 2, 1.0, seed=0)) == 2


@pytest.mark.parametrize("name", ["gru_d", "lstm_time_aware"])
def test_a_cell_that_cannot_read_text_is_told_so(name: str) -> None:
    cell = symrnn.load(name)
    with pytest.raises(UsageError, match="one input"):
        network(cell, symrnn.compile(cell), 10, hidden=4, seed=0)


def test_a_diverging_loss_ends_the_training(song: Corpus) -> None:
    cell = symrnn.load("elman")
    net = network(cell, symrnn.compile(cell), len(song.alphabet), hidden=4, seed=0)
    net.head_params["V"][...] = np.nan
    with pytest.raises(UsageError, match="no longer finite"):
        list(train(net, song.train, batch=4, steps=8, epochs=1, rate=0.01))


# -- as a whole --------------------------------------------------------------------------------------------


def test_the_demo_ends_with_losses_sample_and_plot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("symrnn.demo.documentation", lambda: SONG * 8)
    args = ["demo", "--cell", "gru", "--hidden", "24", "--epochs", "6", "-o", str(tmp_path)]
    result = CliRunner().invoke(app, args)
    assert result.exit_code == 0, result.output
    words = result.stdout.split()
    losses = [float(words[words.index(name, words.index("Bits")) + 1]) for name in ("unigram", "bigram", "gru")]
    assert losses == sorted(losses, reverse=True)
    assert "A sample:" in result.stdout
    assert "bits/char" in result.stderr
    assert (tmp_path / "demo-gru.png").read_bytes().startswith(b"\x89PNG")


def test_losing_to_the_bigram_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("symrnn.demo.documentation", lambda: SONG * 2)
    result = CliRunner().invoke(app, ["demo", "--hidden", "1", "--epochs", "1", "-o", str(tmp_path)])
    assert result.exit_code == 1
    assert "does not beat" in result.stderr
