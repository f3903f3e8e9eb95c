from __future__ import annotations

import pytest
import torch

from workloads import registry
from workloads.catalogue.bert import CLS, IGNORED, MASK, PAD, SEP
from workloads.inputs.sources import SHIPPED

DATA = {
    "gpt": SHIPPED,
    "moe": SHIPPED,
    "skipgram": SHIPPED,
    "llama": SHIPPED,
    "lstm": SHIPPED,
    "mlp": SHIPPED,
    "bert": SHIPPED,
}


def same(one, other) -> bool:
    """Tell whether two batches are equal in every tensor."""
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@pytest.mark.parametrize("real", [False, True], ids=["synthetic", "text"])
def test_a_batch_depends_on_seed_and_index_alone(case, make, real):
    """Two workloads of one seed give the same batches; another seed or index gives others."""
    name, mode = case
    data = DATA.get(name) if real else None
    one, again, other = (make(name, mode, seed=seed, data=data) for seed in (1, 1, 2))
    assert same(one.make_batch(3), again.make_batch(3))
    assert not same(one.make_batch(3), one.make_batch(4))
    assert not same(one.make_batch(3), other.make_batch(3))


@pytest.mark.parametrize("world", [1, 2, 3, 8])
def test_the_ranks_shards_are_the_global_batch(case, make, world):
    """Every sample goes to one rank, none to two; uneven shares too."""
    workload = make(*case, batch=8)
    whole = workload.make_batch(0)
    shards = [workload.make_batch(0, rank=rank, world=world) for rank in range(world)]
    assert same({k: torch.cat([s[k] for s in shards]) for k in whole}, whole)
    units = [workload.units(shard) for shard in shards]
    assert sum(u.samples for u in units) == 8
    assert sum(u.tokens for u in units) == workload.units(whole).tokens


@pytest.mark.parametrize("name", ["noop", "spin"])
def test_the_harnesss_own_work_is_shared_too(make, name):
    """Two ranks have the batch between them, so that a scaling sweep of it counts nothing twice."""
    workload = make(name, "infer", batch=5)
    shards = [workload.make_batch(1, rank=rank, world=2)["x"] for rank in range(2)]
    assert torch.equal(torch.cat(shards), workload.make_batch(1)["x"])


def test_fewer_samples_than_ranks_is_an_error(make):
    """An idle rank would make nonsense of a per-rank figure."""
    with pytest.raises(ValueError, match="batch 2 is smaller than the 3 ranks"):
        make("gpt", "train", batch=2).make_batch(0, rank=0, world=3)


def test_a_rank_outside_the_world_is_an_error(make):
    """Ranks count from 0."""
    with pytest.raises(ValueError, match="rank 2 is not one of 2"):
        make("gpt", "train").make_batch(0, rank=2, world=2)


def test_synthetic_data_is_random(case, make):
    """Zeros would make hardware look faster than it is."""
    inputs = next(iter(make(*case).make_batch(0).values()))
    assert len(inputs.unique()) > 50


def test_language_targets_are_the_tokens_one_place_later(make):
    """The model learns the next token."""
    for name in ("gpt", "lstm", "llama"):
        batch = make(name, "train", data=SHIPPED).make_batch(0)
        assert torch.equal(batch["tokens"][:, 1:], batch["targets"][:, :-1])


def test_language_rows_are_windows_of_the_text(make):
    """Tokens are the file's own bytes, in order."""
    text = SHIPPED.read_bytes()
    for row in make("gpt", "prefill", data=SHIPPED).make_batch(0)["tokens"]:
        assert bytes(row.tolist()) in text


def test_mlp_counts_exactly_the_tokens_that_are_not_padding(make):
    """Lengths are uneven, padding is 0, and 0 is never a word."""
    workload = make("mlp", "infer", batch=32, seq=50)
    tokens = workload.make_batch(0)["tokens"]
    lengths = [next((at for at, token in enumerate(row) if token == 0), 50) for row in tokens.tolist()]
    assert len(set(lengths)) > 5
    assert min(lengths) >= 25
    assert workload.units(workload.make_batch(0)).tokens == sum(lengths)
    assert all(0 not in row[:length] for row, length in zip(tokens.tolist(), lengths, strict=True))


@pytest.mark.parametrize("mode", ["train", "finetune", "infer"])
def test_bert_counts_exactly_the_tokens_that_are_not_padding(make, mode):
    """The mask covers [CLS] to the last [SEP]; the rest is padding and not counted."""
    workload = make("bert", mode, batch=16)
    batch = workload.make_batch(0)
    rows = [row[: row.index(PAD)] if PAD in row else row for row in batch["tokens"].tolist()]
    assert len({len(row) for row in rows}) > 3
    assert [int(m.sum()) for m in batch["mask"]] == [len(row) for row in rows]
    assert workload.units(batch).tokens == sum(len(row) for row in rows)
    assert all(row[0] == CLS and row[-1] == SEP for row in rows)


def test_bert_hides_words_and_keeps_what_they_were(make):
    """About 15 % of a sentence's words are predicted, most of them masked, none of them special."""
    workload = make("bert", "train", batch=64, data=SHIPPED)
    batch = workload.make_batch(0)
    used = batch["words"] != IGNORED
    hidden = batch["tokens"].gather(1, batch["positions"])[used]
    words = batch["words"][used]
    assert bool((words > MASK).all())
    assert 0.13 < int(used.sum()) / int(batch["mask"].sum()) < 0.16
    assert 0.7 < float((hidden == MASK).float().mean()) < 0.9
    assert 0.05 < float((hidden == words).float().mean()) < 0.2
    assert bool((batch["tokens"] == MASK).sum() == (hidden == MASK).sum())


def test_bert_segments_mark_the_second_sentence(make):
    """Segment 1 begins behind the first [SEP] and ends with the last."""
    batch = make("bert", "train").make_batch(0)
    for tokens, segments, mask in zip(batch["tokens"], batch["segments"], batch["mask"], strict=True):
        first = tokens.tolist().index(SEP)
        expected = [int(first < at < int(mask.sum())) for at in range(len(tokens))]
        assert segments.tolist() == expected


def test_bert_s_second_sentence_follows_where_the_label_says_so(make):
    """Label 0: the sentences are neighbours in the text; label 1: mostly they are not."""
    workload = make("bert", "train", batch=32, data=SHIPPED)
    text, batch = SHIPPED.read_bytes(), workload.make_batch(0)
    for row in range(32):
        tokens = batch["tokens"][row].clone()
        used = batch["words"][row] != IGNORED
        tokens[batch["positions"][row][used]] = batch["words"][row][used]
        words = bytes(int(t) - 4 for t in tokens if t > MASK)
        if batch["next"][row] == 0:
            assert words in text
    assert set(batch["next"].tolist()) == {0, 1}


@pytest.mark.parametrize(("name", "mode"), [("mlp", "train"), ("bert", "finetune")])
def test_a_text_s_classes_are_parts_of_the_file(make, name, mode):
    """All classes occur, and each is a part of the same size."""
    workload = make(name, mode, batch=64, classes=2, data=SHIPPED)
    text, batch = SHIPPED.read_bytes(), workload.make_batch(0)
    offset = {"mlp": 1, "bert": 4}[name]
    for row, label in zip(batch["tokens"].tolist(), batch["labels"].tolist(), strict=True):
        words = bytes(token - offset for token in row if token >= offset)
        assert text.find(words) * 2 // len(text) == label
    assert set(batch["labels"].tolist()) == {0, 1}


def test_skip_gram_pairs_stand_near_each_other_in_the_text(make):
    """The first of the others is within the window of its word, and never the word's own place."""
    workload = make("skipgram", "train", data=SHIPPED, batch=64, window=2)
    text, batch = SHIPPED.read_bytes(), workload.make_batch(0)
    near = {
        (text[i], text[j])
        for i in range(len(text))
        for j in range(max(0, i - 2), min(len(text), i + 3))
        if i != j
    }
    pairs = zip(batch["tokens"].tolist(), batch["others"][:, 0].tolist(), strict=True)
    assert set(pairs) <= near
    assert batch["others"].shape == (64, 6)


def test_diffusion_s_noise_follows_a_cosine(make):
    """The image's share of the variance falls from one to nothing; a step back keeps more of it."""
    batch = make("dit", "infer", batch=500).make_batch(0)
    expected = torch.cos(torch.pi / 2 * (batch["steps"] + 0.5) / 1000) ** 2
    torch.testing.assert_close(batch["kept"], expected, rtol=1e-4, atol=1e-6)
    assert bool((batch["next"] > batch["kept"]).all())
    assert 1 <= int(batch["steps"].min()) < 50
    assert 950 < int(batch["steps"].max()) < 1000
    assert "noise" not in batch


def test_base_and_large_batches_are_made_too(name, make):
    """Batches of the larger sizes have their own shapes."""
    kind = registry.get(name)
    for size in ("base", "large"):
        workload = make(name, kind.spec.modes[0], size, batch=1)
        assert workload.units(workload.make_batch(0)).flops > 1e4
