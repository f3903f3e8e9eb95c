"""What the README and the contributor guide say works as it stands there."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from harness.cli import _VERBS, main

ROOT = Path(__file__).parents[2]
QUICK = [
    "measure.seconds=0.05",
    "measure.warmup_s=0",
    "measure.warmup_cap_s=0.05",
    "measure.steady_window_s=0.01",
]
HONEST = {"ab": {0, 3, 4}, "qualify": {0, 1}}
"""Short pairs may end without a verdict, and a busy machine may fail a check of the instrument."""


def commands(document):
    """Return the lines of a document's console blocks, prompts removed."""
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)
    return [
        line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")
    ]


def test_every_joulemark_command_of_the_readme_runs(joulemark, monkeypatch, capfd):
    """In the order in which they stand, in one folder; only the time of measuring is shortened.

    What reads or plans runs in this process, which imports once for all of them.
    """
    monkeypatch.chdir(joulemark.folder)
    listed = [shlex.split(line)[1:] for line in commands("README.md") if line.startswith("joulemark ")]
    assert len(listed) >= 8
    for arguments in listed:
        if arguments[0] in {"run", "ab"}:
            shorter = [a if a != "1" else "0.05" for a in arguments]
            done = joulemark(*shorter, *QUICK, "device=cpu")
        elif arguments[0] in {"doctor", "qualify"}:
            done = joulemark(*arguments)
        else:
            assert main(arguments) == 0, (arguments, capfd.readouterr().err)
            continue
        assert done.returncode in HONEST.get(arguments[0], {0}), (arguments, done.stderr)


def test_every_make_target_of_the_readme_exists():
    """`make X` in a document is a target of the Makefile."""
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for document in ("README.md", "CONTRIBUTING.md"):
        for target in re.findall(r"`?make ([a-z][a-z-]*)`?", "\n".join(commands(document))):
            assert target in targets


def test_every_verb_is_in_the_readme():
    """A verb that is not in the table is not there for a reader."""
    table = (ROOT / "README.md").read_text()
    assert [verb for verb in _VERBS if f"`{verb}`" not in table] == []


def test_links_point_to_files():
    """A relative link of a document leads somewhere."""
    for document in ("README.md", "CONTRIBUTING.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / document).read_text()):
            assert target.startswith("http") or (ROOT / target).exists(), target


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """The contributor guide's workload as an installed package of its own."""
    guide = (ROOT / "CONTRIBUTING.md").read_text()
    code = re.search(r"```python\n(.*?)```", guide, re.DOTALL).group(1)
    points = re.search(r"```toml\n(.*?)```", guide, re.DOTALL).group(1)
    group = re.search(r"```yaml\n(.*?)```", guide, re.DOTALL).group(1)
    site = tmp_path / "site"
    (site / "my_package").mkdir(parents=True)
    (site / "my_package" / "__init__.py").touch()
    (site / "my_package" / "doubler.py").write_text(code)
    name, target = re.search(r'(\w+) = "(.+)"', points).groups()
    info = site / "my_package-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my_package\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[joulemark.workloads]\n{name} = {target}\n")
    (tmp_path / "conf" / "workload").mkdir(parents=True)
    (tmp_path / "conf" / "workload" / "doubler.yaml").write_text(group)
    assert yaml.safe_load(group)["name"] == "doubler"
    return site, tmp_path / "conf"


@pytest.mark.parametrize("group", [False, True])
def test_a_workload_from_the_guide_runs_from_outside_the_package(joulemark, plugin, group):
    """One file and one registration: it is listed, run and recorded; a group file shortens its name."""
    site, conf = plugin
    joulemark.environment["PYTHONPATH"] = str(site)
    assert "doubler" in joulemark("list", "workloads").stdout
    by_group = ["--config-dir", str(conf), "workload=doubler"]
    words = by_group if group else ["workload.name=doubler", "workload.mode=infer"]
    words.append("workload.batch=4")
    done = joulemark("run", *words, "measure=quick", "device=cpu", "power=none", "run.name=doubler", *QUICK)
    assert done.returncode == 0, done.stderr
    (record,) = joulemark.records("doubler")
    flops = next(m["value"] for m in record["metrics"] if m["id"] == "flops.step")
    assert flops == 2 * 4 * 16**2


def test_a_broken_plugin_disables_itself_and_nothing_else(joulemark, plugin):
    """Its import error is a line of `doctor`; every other workload stays."""
    site, _ = plugin
    (site / "my_package" / "doubler.py").write_text("import nothing_of_this_name\n")
    joulemark.environment["PYTHONPATH"] = str(site)
    assert "nothing_of_this_name" in joulemark("doctor").stdout
    listed = joulemark("list", "workloads")
    assert listed.returncode == 0
    assert "gpt" in listed.stdout


def test_the_wheel_holds_the_configuration(tmp_path):
    """Installed from a wheel, the groups are found inside the package."""
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if "No module named" in done.stderr:
        pytest.skip("hatchling is not installed here")
    assert done.returncode == 0, done.stderr
    import zipfile

    names = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    assert "harness/conf/config.yaml" in names
    assert any(n.startswith("harness/report/formats/templates/") for n in names)
    assert not any(n.startswith(("tests/", "results/")) for n in names)
