"""The user's own model: found without being imported, identified by its contents, run by what it says."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
import torch

from workloads.base import UnsupportedError
from workloads.engine.job import prepare
from workloads.engine.setup import Setup
from workloads.user.source import Source, source
from workloads.user.workload import User

MODEL = """
    from dataclasses import dataclass
    import torch
    from torch import nn

    def plain(batch, seq):
        return nn.Linear(16, 4), {"input": torch.zeros(batch, 16)}

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(16, 4)

        def forward(self, x):
            return {"logits": self.layer(x)}

    def trained(batch):
        def inputs(index):
            return {"x": torch.randn(batch, 16), "label": torch.randint(4, (batch,))}

        def loss(model, batch):
            return nn.functional.cross_entropy(model(batch["x"])["logits"], batch["label"])

        return Net(), inputs, loss

    def wrong():
        return nn.Linear(2, 2)

    def worded():
        return nn.Linear(2, 2), {"input": "four words in one"}

    def of(inputs, model=None, loss=None):
        return lambda: (model or nn.Linear(2, 2), inputs, loss)

    numbers = torch.zeros(3, 2)
    needing = lambda batch, width: None
    bare = of(numbers)
    listed = of(lambda index: [numbers])
    nameless = of({})
    pointed = of({"input": torch.tensor(1.0)})
    uneven = of({"input": numbers, "mask": torch.ones(1, 2)})
    misnamed = of({"x": numbers})
    numbered = of({"input": numbers}, loss=3)
    vector = of({"input": numbers}, loss=lambda model, batch: model(batch["input"]))
    plain_number = of({"input": numbers}, loss=lambda model, batch: 1.5)

    class Says(nn.Module):
        def __init__(self, what):
            super().__init__()
            self.layer, self.what = nn.Linear(2, 2), what

        def forward(self, input):
            return self.what(self.layer(input))

    @dataclass
    class Out:
        about: str
        hidden: dict

    silent = of({"input": numbers}, Says(lambda x: None))
    fails = of({"input": numbers}, Says(lambda x: x + "a"))
    nested = of({"input": numbers}, Says(lambda x: Out("two", {"no": (3, [x])})))
    as_tuple = of({"input": numbers}, Says(lambda x: (None, x)))
"""


@pytest.fixture
def module(tmp_path, monkeypatch) -> str:
    """A module of the user's in the working folder."""
    name = f"own_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(textwrap.dedent(MODEL))
    monkeypatch.chdir(tmp_path)
    yield name
    sys.modules.pop(name, None)


def user(own: Source, mode: str = "infer", batch: int = 6, seed: int = 0) -> User:
    """Make the workload."""
    return User(mode, {"batch": batch, "seq": 8}, seed=seed, source=own)


def run(workload: User):
    """Run one step as the harness does."""
    job = prepare(workload, Setup())
    job.step(0, lambda _name: None)
    return job


def test_a_function_s_model_runs_forward_over_its_inputs(module):
    """The function gets the sizes that it asks for; FLOPs are what torch counts."""
    job = run(user(Source("factory", f"{module}:plain")))
    assert job.output().shape == (6, 4)
    assert job.check()["output_ok"]
    assert (job.units(0).samples, job.units(0).flops) == (6, 2 * 6 * 16 * 4)


def test_a_function_s_model_is_trained_by_its_loss(module):
    """Inputs that `forward` has no parameter for are the loss's."""
    own = Source("factory", f"{module}:trained")
    job = run(user(own, "train"))
    assert job.check()["output_ok"]
    assert job.units(0).flops == 3 * 2 * 6 * 16 * 4
    assert run(user(own)).output().shape == (6, 4)


def test_batches_are_drawn_from_the_seed_and_shared_by_row(module):
    """The user's own random numbers are the same for equal seed and index."""
    own = Source("factory", f"{module}:trained")
    first, same, other = (user(own, seed=seed).make_batch(1)["x"] for seed in (3, 3, 4))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert not torch.equal(first, user(own, seed=3).make_batch(2)["x"])
    halves = [user(own, seed=3).make_batch(1, rank=rank, world=2)["x"] for rank in range(2)]
    assert torch.equal(torch.cat(halves), first)


@pytest.mark.parametrize(
    ("function", "mode", "error", "said"),
    [
        ("plain", "train", UnsupportedError, "no training loss"),
        ("wrong", "infer", ValueError, "does not return"),
        ("worded", "infer", ValueError, "input is of type str: let a module around the model take its parts"),
        ("nowhere", "infer", ValueError, "has no function nowhere"),
        ("needing", "infer", ValueError, "missing a required argument: 'width', and only batch and seq are"),
        ("bare", "infer", ValueError, "inputs are a mapping of names to tensors, .* not of type Tensor"),
        ("listed", "infer", ValueError, r"inputs are a mapping of names to tensors, not \[tensor"),
        ("nameless", "infer", ValueError, r"inputs are a mapping of names to tensors, not \{\}"),
        ("pointed", "infer", ValueError, r"first dimension of every input is the samples: input \(\)"),
        ("uneven", "infer", ValueError, r"is the samples: input \(3, 2\), mask \(1, 2\)"),
        ("misnamed", "infer", ValueError, "forward needs input; the inputs are named x"),
        ("fails", "infer", TypeError, "unsupported operand"),
        ("silent", "infer", ValueError, "output holds no tensor, it is None"),
        ("numbered", "train", ValueError, "loss is a function of model and inputs, not 3"),
        ("vector", "train", ValueError, "loss is a tensor without dimensions, not torch.Size"),
        ("plain_number", "train", ValueError, "loss is a tensor without dimensions, not float"),
    ],
)
def test_what_a_function_must_give_is_said(module, function, mode, error, said):
    """One line that names what is missing."""
    with pytest.raises(error, match=said):
        run(user(Source("factory", f"{module}:{function}"), mode))


@pytest.mark.parametrize("function", ["nested", "as_tuple"])
def test_the_first_tensor_of_any_output_is_found(module, function):
    """In tuples, lists, mappings and dataclasses, and not before it in something else."""
    assert run(user(Source("factory", f"{module}:{function}"))).output().shape == (3, 2)


def test_a_source_is_identified_by_its_contents_without_being_imported(module, tmp_path):
    """Another character is another model; the plan runs none of the user's code."""
    own = Source("factory", f"{module}:plain")
    file = tmp_path / f"{module}.py"
    before = own.digest()
    assert own.check(before) is own
    file.write_text("raise SystemExit('imported')\n")
    assert own.digest() != before
    with pytest.raises(ValueError, match="has changed since the sweep was planned"):
        own.check(before)
    assert module not in sys.modules


def test_a_module_in_a_package_is_identified_by_the_whole_package(tmp_path, monkeypatch):
    """What it imports from beside it belongs to it."""
    inner = tmp_path / "own_package" / "inner"
    inner.mkdir(parents=True)
    for path in (tmp_path / "own_package" / "__init__.py", inner / "__init__.py", inner / "nets.py"):
        path.write_text("raise SystemExit('imported')\n")
    (tmp_path / "own_package" / "beside.py").write_text("a = 1\n")
    monkeypatch.chdir(tmp_path)
    own = Source("factory", "own_package.inner.nets:build")
    assert len(own.files()) == 4
    before = own.digest()
    (tmp_path / "own_package" / "beside.py").write_text("a = 23\n")
    assert own.digest() != before


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        ("factory", "os.path", "not of the form module:function"),
        ("factory", "a b:c", "not of the form module:function"),
        ("factory", "no_such_module_at_all:f", "no module no_such_module_at_all"),
        ("factory", "nets.py:f", r"a module's name has no \.py"),
        ("factory", "sys:exit", "no module sys in Python source"),
        ("program", "model.pt", "no such file"),
        ("folder", ".", "no folder with config.json"),
    ],
)
def test_a_source_that_is_not_there_is_refused(tmp_path, monkeypatch, kind, name, said):
    """Found out when the sweep is planned."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=said):
        Source(kind, name).files()


def test_one_model_is_named():
    """Two sources are a mistake, none is no source."""
    assert source(None, None, None) is None
    assert source(None, "a.pt2", None) == Source("program", "a.pt2")
    with pytest.raises(ValueError, match=r"workload\.factory and workload\.folder name two models"):
        source("a:b", None, "c")


class Two(torch.nn.Module):
    """Takes one input by place and one by name."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(8, 3)

    def forward(self, x, *, shift):
        """Return (B, 3)."""
        return self.layer(x) + shift


def test_a_batch_that_was_asked_for_is_the_one_that_runs(module):
    """A function without a batch brings its own, but never under the name of another."""
    own = Source("factory", f"{module}:nested")
    size = {"batch": 4, "seq": 8}
    assert run(User("infer", size, source=own)).units(0).samples == 3
    with pytest.raises(ValueError, match="a batch of 4 was asked for, the inputs have 3"):
        run(User("infer", size, source=own, exact=True))
    assert run(User("infer", {**size, "batch": 3}, source=own, exact=True)).units(0).samples == 3


def test_a_file_that_is_no_program_is_one_clear_line(tmp_path):
    """Whatever torch's loader raises."""
    (tmp_path / "bad.pt2").write_bytes(b"not a program")
    with pytest.raises(ValueError, match=r"bad\.pt2: not a program that torch\.export\.save wrote"):
        run(user(Source("program", str(tmp_path / "bad.pt2"))))


def test_a_saved_program_runs_with_the_inputs_it_was_exported_with(tmp_path):
    """The same numbers as the module that was exported."""
    torch.manual_seed(0)
    model, x, shift = Two().eval(), torch.randn(5, 8), torch.randn(5, 3)
    torch.export.save(torch.export.export(model, (x,), {"shift": shift}), tmp_path / "two.pt2")
    own = Source("program", str(tmp_path / "two.pt2"))
    job = run(user(own))
    assert torch.allclose(job.output(), model(x, shift=shift))
    assert (job.units(0).samples, job.units(0).flops) == (5, 2 * 5 * 8 * 3)
    with pytest.raises(UnsupportedError, match="runs forward only"):
        run(user(own, "train"))


def saved(folder, name: str):
    """Save a small model of transformers as its users do, and return it."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    if name == "GPT2LMHeadModel":
        config = transformers.GPT2Config(vocab_size=64, n_positions=16, n_embd=32, n_layer=2, n_head=2)
    elif name == "T5ForConditionalGeneration":
        config = transformers.T5Config(
            vocab_size=64, d_model=32, d_ff=64, num_layers=2, num_heads=2, d_kv=16, decoder_start_token_id=0
        )
    else:
        config = transformers.ViTConfig(
            image_size=16,
            patch_size=8,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_labels=4,
        )
    model = getattr(transformers, name)(config).eval()
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize(
    "name", ["GPT2LMHeadModel", "T5ForConditionalGeneration", "ViTForImageClassification"]
)
def test_a_folder_s_model_has_its_weights_and_runs(tmp_path, name):
    """Forward and training, from the configuration and safetensors alone."""
    reference = saved(tmp_path, name)
    workload = user(Source("folder", str(tmp_path)), batch=3)
    model = workload.build_model()
    assert type(model) is type(reference)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), reference.parameters(), strict=True))
    job = run(workload)
    assert job.check()["output_ok"]
    assert job.units(0).samples == 3
    assert job.units(0).flops > 0
    assert run(user(Source("folder", str(tmp_path)), "train", batch=3)).check()["output_ok"]


BERT = {
    "vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 32, "max_position_embeddings": 16,
}  # fmt: skip
T5 = {"vocab_size": 64, "d_model": 32, "d_ff": 32, "num_layers": 1, "num_heads": 2, "d_kv": 16}
RESNET = {"embedding_size": 8, "hidden_sizes": [8], "depths": [1]}


def folder_of(folder, name: str, config_name: str, config) -> Source:
    """Save a model with this configuration."""
    transformers = pytest.importorskip("transformers")
    getattr(transformers, name)(getattr(transformers, config_name)(**config)).save_pretrained(folder)
    return Source("folder", str(folder))


@pytest.mark.parametrize(
    ("name", "config_name", "config", "seq", "error", "said"),
    [
        (
            "BertModel",
            "BertConfig",
            BERT,
            17,
            ValueError,
            "seq 17 is more than its 16 positions: workload.seq=16",
        ),
        ("BertForMultipleChoice", "BertConfig", BERT, 8, ValueError, "of another form: write a factory"),
        (
            "BertForQuestionAnswering",
            "BertConfig",
            BERT,
            8,
            UnsupportedError,
            "no loss of random classes or words",
        ),
        ("T5Model", "T5Config", T5, 8, ValueError, "T5Model reads more than a text: write a factory"),
        ("ResNetForImageClassification", "ResNetConfig", RESNET, 8, ValueError, "has no image_size: add it"),
    ],
)
def test_a_folder_that_cannot_be_run_says_what_to_do(tmp_path, name, config_name, config, seq, error, said):
    """Sizes beyond the model, several inputs, no loss, no size of images."""
    own = folder_of(tmp_path, name, config_name, config)
    with pytest.raises(error, match=said):
        run(User("train", {"batch": 2, "seq": seq}, source=own))


def test_a_folder_s_tagger_is_trained_on_a_class_a_word(tmp_path):
    """Labels have the shape of the words."""
    own = folder_of(tmp_path, "BertForTokenClassification", "BertConfig", BERT)
    assert run(user(own, "train")).check()["output_ok"]
    assert run(user(own)).output().shape == (6, 8, 2)


def test_a_folder_never_runs_code_or_reads_a_pickle(tmp_path):
    """Weights in pickle are not there; a model class that the folder brings is not known."""
    saved(tmp_path, "GPT2LMHeadModel")
    own = Source("folder", str(tmp_path))
    (tmp_path / "model.safetensors").rename(tmp_path / "kept")
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"no folder with config\.json and"):
        own.files()
    (tmp_path / "kept").rename(tmp_path / "model.safetensors")
    config = tmp_path / "config.json"
    config.write_text(config.read_text().replace("GPT2LMHeadModel", "OwnModel"))
    (tmp_path / "modeling.py").write_text("raise SystemExit('imported')\n")
    with pytest.raises(ValueError, match="transformers has no model OwnModel"):
        user(own).build_model()


def test_digests_need_no_torch(module):
    """`plan` identifies a source without torch."""
    code = (
        f"from workloads.user.source import Source; Source('factory', '{module}:plain').digest(); "
        "import sys; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "False", done.stderr
