"""Fused models: equal ones change nothing, different ones give the mean, the vote, the whole gradient."""

import copy
from dataclasses import replace

import pytest
import torch

from workloads.compatibility import refusal
from workloads.engine.job import prepare
from workloads.engine.setup import Setup
from workloads.models.fused import Members, average
from workloads.optimize import EAGER, Optimize


def silent(_name):
    """Take no mark."""


class Fixed(torch.nn.Module):
    """A model with one answer."""

    def __init__(self, *logits):
        super().__init__()
        self.logits = torch.tensor([logits])

    def forward(self):
        """Answer."""
        return self.logits


def test_the_average_of_equal_models_is_the_model(make, outputs):
    """Statistics of batch norm, too."""
    workload = make("resnet", "infer")
    model = workload.build_model().eval()
    before = outputs(workload, model)
    average([model, copy.deepcopy(model), copy.deepcopy(model)])
    torch.testing.assert_close(outputs(workload, model), before)


def test_an_average_is_the_mean_of_each_weight(job, make):
    """The models are those of the following seeds; one model is left."""
    made = job("mlp", "infer", "average", models=3)
    heads = []
    for seed in range(3):
        torch.manual_seed(seed)
        heads.append(make("mlp", "infer").build_model().head.weight.detach())
    torch.testing.assert_close(made.model.head.weight, torch.stack(heads).mean(0))
    evidence = made.evidence()
    assert evidence["parameters_before"] == 3 * evidence["parameters"] == 3 * made.parameters


def test_an_average_trains_and_generates(job):
    """It is a model like any other."""
    for mode in ("train", "generate"):
        made = job("gpt", mode, "average", models=2)
        made.step(0, silent)
        assert made.check()["output_ok"]


@pytest.mark.parametrize("name", ["mlp", "bert", "vit", "resnet", "inception"])
def test_an_ensemble_of_equal_models_has_the_model_s_mean(make, outputs, name):
    """The mean of equal logits is the logits."""
    workload = make(name, "infer")
    model = workload.build_model().eval()
    ensemble = Members([model, copy.deepcopy(model)], vote=False).eval()
    torch.testing.assert_close(outputs(workload, ensemble), outputs(workload, model))


def test_the_majority_wins_against_the_mean():
    """Two of three vote for the first class; one shouts for the second."""
    models = [Fixed(1.0, 0.0), Fixed(1.0, 0.0), Fixed(0.0, 9.0)]
    torch.testing.assert_close(Members(models, vote=True)(), torch.tensor([[2 / 3, 1 / 3]]))
    torch.testing.assert_close(Members(models, vote=False)(), torch.tensor([[2 / 3, 3.0]]))


@pytest.mark.parametrize("combine", ["mean", "vote"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_an_ensemble_infers_with_all_its_models(job, combine, precision):
    """Its weights are all of theirs."""
    made = job("mlp", "infer", "ensemble", combine=combine, precision=precision)
    made.step(0, silent)
    assert made.check()["output_ok"]
    evidence = made.evidence()
    assert made.parameters == evidence["parameters"] == 3 * evidence["parameters_before"]


@pytest.mark.parametrize(("name", "optimizer"), [("mlp", "sgd"), ("gpt", "adamw")])
def test_aggregated_gradients_train_as_the_whole_batch_does(job, make, name, optimizer):
    """Each copy sees its share; losses over three steps are those of one model."""
    fused = job(name, "train", "aggregate_gradients", optimizer=optimizer)
    whole = prepare(make(name, "train"), Setup(optimizer=optimizer, lr=0.02, optimize=EAGER))
    for index in range(3):
        fused.step(index, silent)
        whole.step(index, silent)
    torch.testing.assert_close(fused.losses(), whole.losses(), rtol=1e-5, atol=1e-6)
    assert fused.evidence()["copies_bytes"] == fused.weights_bytes


def test_a_batch_that_does_not_split_is_refused(cell):
    """Eight samples among three models."""
    why = refusal(cell("resnet", "train", "aggregate_gradients", models=3))
    assert why == "a batch of 8 does not split among 3 models in 1 parts"
    kept = replace(cell("gpt", "train", "aggregate_gradients"), optimize=Optimize(checkpoint=True))
    assert "keeps all activations" in refusal(kept)
    assert "lacks: classes" in refusal(cell("clip", "infer", "ensemble"))
