"""`plan` says what compiling costs, from records and from nothing else."""

from types import SimpleNamespace

from harness.cli.commands import plan as command
from harness.config.models import Config
from harness.records.store import open_store


def planned(results, *works, kind="xla"):
    """Return a plan of trials with these works, three replicas each."""
    config = Config.model_validate(
        {
            "workload": {"name": "gpt"},
            "device": {"kind": kind},
            "measure": {"replicas": 3},
            "run": {"results": str(results)},
        }
    )
    return SimpleNamespace(runnable=[SimpleNamespace(config=config, work_id=work) for work in works])


def test_compile_time_is_the_median_of_earlier_records(make_record, tmp_path):
    """Three replicas of what took 4, 5 and 9 seconds; a work without records is unknown, not 0."""
    store = open_store(tmp_path)
    for replica, seconds in enumerate((4.0, 9.0, 5.0)):
        store.write(make_record({"time.compile": seconds}, replica=replica, work_id="a" * 16))
    words = command._compiling(planned(tmp_path, "a" * 16, "b" * 16))
    assert words == (
        "XLA compiles on top of that: about 15 s by earlier records; unknown for 1 trial without any"
    )


def test_a_device_that_compiles_nothing_ahead_says_nothing(tmp_path):
    """Torch's own devices."""
    assert command._compiling(planned(tmp_path, "a" * 16, kind="cpu")) is None
