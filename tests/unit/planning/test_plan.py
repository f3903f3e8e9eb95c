"""Planning: validation once, identity over named fields, refusal with a reason."""

import subprocess
import sys
from dataclasses import fields

import pytest

from harness.config.compose import Composer
from harness.config.errors import ConfigError
from harness.config.models import Config, OptimizeConfig, WorkloadConfig
from harness.planning.plan import make_plan
from workloads.optimize import Optimize

CPU = "device=cpu"


def only(*overrides):
    """Plan exactly one trial."""
    (trial,) = make_plan([CPU, *overrides]).trials
    return trial


def test_defaults_and_the_same_values_by_name_are_one_work():
    """A null that resolves to 4 and an explicit 4 have the same identity."""
    named = only("workload=gpt", "workload.batch=4", "workload.optimizer=adamw")
    assert only("workload=gpt").size["batch"] == 4
    assert named.work_id == only("workload=gpt").work_id


@pytest.mark.parametrize(
    "override", ["workload.batch=3", "precision=bf16", "seed=1", "workload.mode=decode", "device.threads=1"]
)
def test_what_is_computed_is_part_of_the_work(override):
    """Sizes, precision, seed, mode and threads make another work."""
    assert only("workload=gpt", override).work_id != only("workload=gpt").work_id


@pytest.mark.parametrize("override", ["measure=quick", "power=none", "measure.seconds=1.5"])
def test_how_it_is_measured_makes_another_trial_of_the_same_work(override):
    """Measure and power are in the trial's identity, not in the work's."""
    base, other = only("workload=gpt"), only("workload=gpt", override)
    assert other.work_id == base.work_id
    assert other.trial_id != base.trial_id


@pytest.mark.parametrize(
    "override",
    [
        "run.name=x",
        "run.timeout_s=5",
        "run.worker=exec",
        "run.order_seed=3",
        "report.title=T",
        "run.attempts=2",
        "run.monitor=true",
    ],
)
def test_run_control_is_in_no_identity(override):
    """A timeout, a name or a title changes no identity."""
    assert only("workload=gpt", override).trial_id == only("workload=gpt").trial_id


def test_real_data_counts_by_its_contents(tmp_path):
    """The same text under two names is one work; other text is another."""
    one, two, three = (tmp_path / n for n in ("one.txt", "two.txt", "three.txt"))
    one.write_text("abc " * 500)
    two.write_text("abc " * 500)
    three.write_text("abd " * 500)
    ids = [only("workload=gpt", f"workload.data={p}").work_id for p in (one, two, three)]
    assert ids[0] == ids[1] != ids[2]


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    """Write a module of the user's into the working folder."""

    def write(contents: str, folder: str = "") -> str:
        place = tmp_path / folder
        place.mkdir(exist_ok=True)
        (place / "own_model.py").write_text(contents)
        monkeypatch.chdir(place)
        return "workload.factory=own_model:build"

    return write


def test_the_user_s_own_model_counts_by_its_contents_and_is_not_imported(own_module):
    """The same module elsewhere is one work; another one, or another function of it, is another."""
    bomb = "raise SystemExit('imported')\n"
    one = only("workload=user", own_module(bomb, "a"))
    same = only("workload=user", own_module(bomb, "b"))
    function = only("workload=user", own_module(bomb, "b").replace("build", "other"))
    changed = only("workload=user", own_module(bomb + "#", "c"))
    assert one.work_id == same.work_id
    assert len({one.work_id, function.work_id, changed.work_id}) == 3
    assert one.label == "user own_model:build tiny infer fp32"
    assert one.payload["workload"]["source_sha256"] == same.config.workload.source_sha256
    with pytest.raises(ConfigError, match=r"workload\.source_sha256: 0+ was asked for"):
        only("workload=user", own_module(bomb), f"workload.source_sha256='{'0' * 64}'")


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (["workload=gpt", "workload.mode=infer"], "no mode infer"),
        (["workload=gpt", "precision=tf32"], "CUDA devices only"),
        (["workload=noop", "precision=bf16"], "cannot run with precision bf16"),
        (["workload=gpt", "parallel.ranks=2"], "needs a parallel strategy"),
        (["workload=gpt", "workload.mode=decode", "workload.accumulate=2"], "needs a training mode"),
        (
            ["workload=gpt", "workload.batch=3", "workload.accumulate=2"],
            "batch 3 does not split into 2 equal",
        ),
        (["workload=gpt", "device.index=7"], "not available"),
    ],
)
def test_a_combination_that_cannot_work_is_refused_with_its_reason(overrides, reason):
    """A refused cell stays in the plan and says why."""
    assert reason in (only(*overrides).refusal or "")


def test_weak_scaling_gives_each_share_the_batch_that_was_asked_for():
    """Two shares of 4 are a batch of 8, the same work as one of 8 in strong scaling."""
    weak = only("parallel=ddp", "parallel.scaling=weak", "workload.batch=4")
    assert weak.size["batch"] == 8
    assert weak.work_id == only("parallel=ddp", "workload.batch=8").work_id
    alone = only("parallel=ddp", "parallel.scaling=weak", "parallel.ranks=1", "workload.batch=4")
    assert alone.size["batch"] == 4


def test_weak_scaling_grows_by_shares_not_by_ranks():
    """Ranks that split matrices share one batch; in two dimensions there are half as many shares."""
    weak = ("parallel.scaling=weak", "workload.batch=4")
    assert only("parallel=tensor", *weak).size["batch"] == 4
    assert only("parallel=hybrid", "parallel.ranks=4", *weak).size["batch"] == 8


def test_each_rank_needs_a_device_of_its_own(monkeypatch):
    """Ranks on accelerators count up from the device's index; on the CPU they share one."""
    asked = []
    monkeypatch.setattr(
        "harness.planning.refusals._device_refusal",
        lambda kind, _platform, index: asked.append((kind, index)),
    )
    make_plan(["device=cuda", "device.index=1", "parallel=ddp", "parallel.ranks=4", "precision=fp32"])
    only("parallel=ddp", "parallel.ranks=4")
    assert asked == [("cuda", 4), ("cpu", 0)]


@pytest.mark.parametrize("name", ["strong_scaling", "weak_scaling"])
def test_scaling_experiments_plan_every_cell_from_one_rank_on(name):
    """Each strategy starts from one rank, which the others are held against; no cell is refused."""
    plan = make_plan([CPU, f"+experiment={name}"])
    assert plan.refused == ()
    strategies = {t.config.parallel.name for t in plan.trials}
    alone = {t.config.parallel.name for t in plan.trials if t.config.parallel.ranks == 1}
    assert alone == strategies


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["workload.batch=-3"], "workload.batch"),
        (["workload.batch=abc"], "workload.batch"),
        (["workload.mode=trian"], "did you mean train?"),
        (["+workload.bacth=3"], "did you mean workload.batch?"),
        (["workload.shape.layer=3"], "layers"),
        (["workload.size=huge"], "no size"),
        (["device.kind=cdua"], "did you mean cuda?"),
        (["workload.data=/nowhere/at/all.txt"], "/nowhere/at/all.txt"),
        (["workload=gpt", "workload.data=shipped", "workload.shape.vocab=100"], "vocab of 256, not 100"),
        (["report.limits={latency.p9: 1}"], "no such metric latency.p9; did you mean latency.p99?"),
        (["report.limits={model.parameters: 1}"], "neither more nor less of model.parameters is better"),
        (["workload=user"], "workload=user needs workload.factory, workload.program or workload.folder"),
        (["workload=user", "workload.factory=no_such_module:f"], "no module no_such_module"),
        (["workload=user", "workload.factory=a:b", "workload.program=c.pt2"], "name two models"),
        (["workload=gpt", "+workload.factory=a:b"], "needs workload=user"),
        (["~workload"], "workload"),
        (["run.name=a,b"], "one name"),
        (["run.name=../up"], "run.name"),
        (["measure.seconds=.inf"], "measure.seconds"),
        (
            ["compress=svd", "compress.settings.energy=nan"],
            "compress.settings.energy=nan: must be a finite number",
        ),
        (
            ["compress=svd", "compress.settings.layers=null"],
            "compress.settings.layers=None: must be a finite",
        ),
        (
            ["+experiment=demo", "workload=noop", "workload.mode=infer", "measure.replicas=0"],
            "measure.replicas",
        ),
    ],
)
def test_bad_input_is_one_line_before_anything_starts(overrides, said):
    """Every kind of bad value is a ConfigError naming its key."""
    with pytest.raises(ConfigError) as caught:
        make_plan([*([] if any("device" in o for o in overrides) else [CPU]), *overrides])
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("form", ["{}", "[{}]", "[file://{}]"])
def test_hydras_own_searchpath_is_heard(tmp_path, form):
    """A folder named by `hydra.searchpath` adds its groups, in every form Hydra knows."""
    (tmp_path / "precision").mkdir()
    (tmp_path / "precision" / "half.yaml").write_text("name: bf16\n")
    trial = only("workload=gpt", "precision=half", f"hydra.searchpath={form.format(tmp_path)}")
    assert trial.config.precision.name == "bf16"


def test_open_keys_take_a_mapping_too():
    """As well as one key after the other."""
    assert only("workload=gpt", "workload.shape={layers: 2, heads: 2}").size["layers"] == 2
    limits = only(
        "workload=gpt", "report.limits={latency.p99: 0.05, throughput.tokens: 100}"
    ).config.report.limits
    assert limits == {"latency.p99": 0.05, "throughput.tokens": 100.0}


def test_what_is_asked_is_no_part_of_a_trial_s_identity():
    """Another limit measures nothing again."""
    plain, asked = only("workload=gpt"), only("workload=gpt", "report.limits={iteration.mean: 1}")
    assert plain.trial_id == asked.trial_id


def test_equal_trials_are_planned_once():
    """Two cells with the same identity are one trial."""
    assert len(make_plan([CPU, "workload.batch=4,null"]).trials) == 1


def test_labels_tell_trials_apart():
    """Trials that differ in a key have labels that differ."""
    labels = [t.label for t in make_plan([CPU, "seed=1,2,3"]).trials]
    assert len(set(labels)) == 3


def test_planning_and_listing_import_no_torch():
    """`plan` and `list` stay light: torch is never imported for them."""
    code = (
        "import sys; from harness.cli import main; "
        "main(['plan', '+experiment=demo']); main(['list', 'workloads']); "
        "assert 'torch' not in sys.modules, 'torch was imported'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


KEYS = """
seed
workload: name mode size batch seq new_tokens accumulate optimizer lr temperature top_k data shape
  factory program folder source_sha256 url model api key_env key_file extra request_s pause_s
serve: batching slots context cache_gib chunk queue engines arrivals concurrency loadgen rate_per_s burstiness
  lengths prompt_tokens output_tokens sigma trace trace_sha256 balance
  ttft_limit_s tpot_limit_s e2e_limit_s good_share
compress: name settings
parallel: name ranks nodes scaling settings
precision: name
optimize: name compile cuda_graphs checkpoint update channels_last kv_cache attention
  expandable_segments
device: kind platform index threads wait
measure: preset replicas max_replicas seconds min_iterations warmup_s warmup_iterations
  warmup_cap_s steady_window_s steady_tolerance target_accelerator target_cpu
  target_loss within_run_only soak soak_window_s soak_cap_s soak_tolerance profile trace
power: sensor devices sample_hz guard phases phase_s
run: name machine_name results keep_paths worker timeout_s memory_limit_gib attempts retry_failed order_seed
  tune
  quiet_wait_s remeasure on slurm ray monitor monitor_port
price: currency region per_kwh pue utilisation interest years opex_per_hour
  facility_per_kw_month devices machines rates regions stale_days name
report: title question limits
"""


def test_the_configuration_keys_are_frozen():
    """A key that is added, renamed or dropped changes this list, and the identities, on purpose."""
    frozen = {}
    for line in KEYS.replace("\n  ", " ").strip().splitlines():
        section, _, keys = line.partition(":")
        frozen[section] = keys.split()
    sections = {
        name: list(getattr(field.annotation, "model_fields", {}))
        for name, field in Config.model_fields.items()
    }
    assert sections == frozen


def test_optimisations_have_one_set_of_keys():
    """What is configured is what a workload is given, and nothing else."""
    assert set(OptimizeConfig.model_fields) - {"name"} == {field.name for field in fields(Optimize)}
    assert OptimizeConfig(compile="default").wanted() == Optimize(compile="default")


def test_the_yaml_holds_every_key_with_the_models_default():
    """Every key can be overridden, and a configuration built in Python means the same as a composed one."""
    with Composer() as composer:
        (job,) = composer.jobs([])
    assert job.config == Config(workload=WorkloadConfig(name="gpt")).model_dump(mode="json")
