"""The template of docs/ against the API's own schema, by the models of Kubernetes' Python client."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

from harness.cli.parser import build_parser
from harness.planning.blocks import Block
from harness.system.allocation import Allocation, allocation

TEMPLATE = yaml.safe_load((Path(__file__).parents[3] / "docs" / "kubernetes-job.yaml").read_text())
CONTAINER = TEMPLATE["spec"]["template"]["spec"]["containers"][0]


def check(value, kind, path):
    """Hold a value to a type of the client's models: known fields alone, the required ones, plain types."""
    models = pytest.importorskip("kubernetes.client", reason="Kubernetes' client is not installed")
    if (found := re.fullmatch(r"[Ll]ist\[(.+)\]", kind)) is not None:
        assert isinstance(value, list), path
        for number, one in enumerate(value):
            check(one, found[1], f"{path}[{number}]")
    elif (found := re.fullmatch(r"(?:dict\(|Dict\[)str, (.+)[)\]]", kind)) is not None:
        for key, one in value.items():
            check(one, found[1], f"{path}.{key}")
    elif kind in {"str", "int", "bool"}:
        assert type(value).__name__ == kind, f"{path}: {value!r} is no {kind}"
    else:
        model = getattr(models, kind)
        fields = {name: (field, model.openapi_types[field]) for field, name in model.attribute_map.items()}
        assert not value.keys() - fields.keys(), path
        made = {}
        for name, one in value.items():
            field, inner = fields[name]
            made[field] = one
            check(one, inner, f"{path}.{name}")
        model(**made)  # raises for a required field that is missing


def test_the_template_is_a_job_of_the_api():
    """Of its version, with no field that it does not have."""
    assert (TEMPLATE["apiVersion"], TEMPLATE["kind"]) == ("batch/v1", "Job")
    check(TEMPLATE, "V1Job", "Job")


def test_each_index_runs_its_block():
    """Indices count from 0, blocks from 1, and there are as many as completions."""
    shell = CONTAINER["args"][0]
    spec = TEMPLATE["spec"]
    blocks = []
    for index in range(spec["completions"]):
        line = shell.replace("$((JOB_COMPLETION_INDEX + 1))", str(index + 1))
        words = shlex.split(line)
        assert words[:2] == ["exec", "joulemark"]
        options, _ = build_parser().parse_known_args(words[2:])
        blocks.append(Block.parse(options.block))
    assert blocks == [Block(number + 1, spec["completions"]) for number in range(spec["completions"])]
    assert 1 <= spec["parallelism"] <= spec["completions"]


def test_pods_and_nodes_come_into_the_records():
    """By the environment that the template sets."""
    names = [one["name"] for one in CONTAINER["env"] if one["name"].startswith("JOULEMARK_")]
    values = dict(zip(names, ("kubernetes", "night-0-x7k2p", "pool-a-17"), strict=True))
    assert allocation(values) == Allocation("kubernetes", "night-0-x7k2p", "pool-a-17")
