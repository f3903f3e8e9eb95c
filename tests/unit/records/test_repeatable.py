"""What a record may put into a command: known settings of plain words, and whole commit ids."""

import pytest

from harness.records.repeatable import is_commit, is_safe_override


@pytest.mark.parametrize(
    "override",
    [
        "workload=gpt",
        "workload.mode=train,infer",
        "workload.shape.layers=2,4",
        "seed=range(3)",
        "+experiment=demo",
        "precision=fp32,bf16",
        "measure.seconds=0.5",
        "power=nvml",
        "power.devices=[0,GPU-12345678-abcd]",
        "workload.data=shipped",
        "workload.temperature=-1",
    ],
)
def test_settings_of_plain_words_are_repeated(override):
    """Groups, keys of them, sweeps and ranges."""
    assert is_safe_override(override)


@pytest.mark.parametrize(
    "override",
    [
        "workload.data=/etc/passwd",
        "workload.data=book.txt",
        "workload.factory=nets:classifier",
        "workload.program=model.pt2",
        "power=meter",
        "power=redfish",
        "power.devices=[command:reboot]",
        "power.devices=[file:/var/log/x.csv]",
        "run.results=/tmp/x",
        "hydra.run.dir=x",
        "workload=gpt;ls",
        "workload=$(id)",
        "workload=a/b",
        "workload",
        "",
        "measure.seconds=1\nrm",
    ],
)
def test_files_programs_hosts_and_shell_are_not(override):
    """Neither a key that names one nor a value that could be one."""
    assert not is_safe_override(override)


def test_a_commit_is_its_whole_id():
    """A branch, an option, a short or a longer id are none."""
    assert is_commit("0123456789abcdef" * 2 + "01234567")
    for text in ("main", "--upload-pack=x", "0123456", "0" * 41, "A" * 40, "0" * 40 + "\n"):
        assert not is_commit(text)
