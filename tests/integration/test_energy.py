"""Energy through the real command: several GPUs beside a CPU workload, by UUID, and no sensor at all."""

import importlib.util
from pathlib import Path

import pytest

BUILDER = Path(__file__).parents[1] / "standins" / "nvml" / "builder.py"
UUIDS = [f"GPU-{n}{n}{n}{n}{n}{n}{n}{n}-aaaa-bbbb-cccc-000000000000" for n in (1, 2)]
SCRIPT = "".join(
    f"device {uuid} Stand-in {n}\ncounter 0.02 0.0 1\ninstant 0.02 0.02\nsamples 0.02 100\n"
    f"gpm 2 0.1\nhold 1000 {watts}\n"
    for n, (uuid, watts) in enumerate(zip(UUIDS, (100, 300), strict=True))
)
RUN = (
    "run", "device=cpu", "workload=noop", "measure=quick", "measure.seconds=0.6", "measure.warmup_s=0.1",
    "measure.warmup_cap_s=0.3", "measure.steady_window_s=0.05",
)  # fmt: skip


@pytest.fixture
def metered(joulemark, tmp_path):
    """The command on a machine with two GPUs, as far as NVML tells."""
    spec = importlib.util.spec_from_file_location("nvml_standin_builder", BUILDER)
    builder = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(builder)
    script = tmp_path / "script.txt"
    script.write_text(SCRIPT)
    try:
        library = builder.build(tmp_path / "lib")
    except builder.NoCompilerError as missing:
        pytest.skip(str(missing))
    joulemark.environment |= {
        "LD_LIBRARY_PATH": str(library),
        "NVML_STANDIN_SCRIPT": str(script),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    return joulemark


def value(record, metric_id):
    """Return a metric's value."""
    return next(m["value"] for m in record["metrics"] if m["id"] == metric_id)


def test_several_gpus_beside_a_cpu_workload_and_one_by_uuid(metered):
    """400 W together, 300 W for the one that is named; the record keeps probe, states and trace."""
    assert metered(*RUN, "power=nvml", "run.name=both").returncode == 0
    named = (*RUN, "power=nvml", f"power.devices=[{UUIDS[1]}]", "run.name=one")
    assert metered(*named).returncode == 0
    (both,), (one,) = metered.records("both"), metered.records("one")
    assert value(both, "power.mean") == pytest.approx(400, rel=0.05)
    assert value(one, "power.mean") == pytest.approx(300, rel=0.05)
    assert value(one, "efficiency.samples") == pytest.approx(1 / value(one, "energy.sample"), rel=1e-6)
    devices = both["evidence"]["energy"]["devices"]
    assert [d["device"] for d in devices] == UUIDS
    counter = devices[0]["sensors"][0]
    assert counter["update_period_s"] == pytest.approx(0.02, rel=0.1)
    assert counter["poll_disturbs"] is not None
    assert [d["activity"]["percent"]["sm"] for d in devices] == pytest.approx([10, 30], rel=0.05)
    assert devices[0]["power_trace"].endswith(":gpu:buffered")
    assert devices[0]["power_trace"] in both["series"]
    assert any(key.endswith(":temperature") for key in both["evidence"]["device_states"])
    (trace,) = (metered.folder / "results" / "both").glob("*/*/*/trace.parquet")
    import duckdb

    found = duckdb.sql(f"SELECT series, unit, count(*) FROM '{trace}' GROUP BY ALL").fetchall()
    units = {series.rpartition(":")[2] if "nvml" in series else series: unit for series, unit, _ in found}
    assert units["counter"] == "J"
    assert units["instant"] == units["buffered"] == "W"
    assert units["iteration"] == "1"
    assert metered("bundle", "both", "one", "-o", "energy.tar").returncode == 0
    verified = metered("verify", "energy.tar")
    assert verified.returncode == 0, verified.stderr
    assert verified.stderr == ""
    assert verified.stdout.endswith("unsigned; consistent\n")


def test_without_a_sensor_every_document_says_so_and_nothing_is_estimated(joulemark, tmp_path):
    """`unavailable (no sensor: …)` in Markdown, HTML and PDF, and no number of joules anywhere."""
    joulemark.environment |= {"LD_LIBRARY_PATH": str(tmp_path)}
    ran = joulemark(*RUN, "power=auto", "run.name=bare")
    assert ran.returncode == 0
    (record,) = joulemark.records("bare")
    energy = [m for m in record["metrics"] if m["id"].startswith(("energy", "power", "efficiency"))]
    if any(m["value"] is not None for m in energy):
        pytest.skip("this machine has a sensor of its own")
    assert all("no sensor" in m["reason"] for m in energy)
    assert "energy: unavailable (no sensor: " in ran.stdout
    assert "energy: unavailable (no sensor: " in joulemark("status", "bare").stdout
    assert joulemark("report", "bare", "--format", "html,md,pdf").returncode == 0
    from pypdf import PdfReader

    folder = joulemark.folder / "reports" / "bare"
    texts = [(folder / name).read_text() for name in ("report.md", "report.html")]
    texts.append(" ".join(page.extract_text() for page in PdfReader(folder / "report.pdf").pages))
    for text in texts:
        assert "unavailable (no sensor" in " ".join(text.split())


def test_a_generation_says_why_its_energy_is_not_attributed_to_phases(metered):
    """The counter's lag was never probed with a load: the record has the reason, and no joules of a phase."""
    generate = (*RUN, "workload=gpt", "workload.mode=generate", "workload.new_tokens=4", "device.threads=1")
    assert metered(*generate, "power=nvml", f"power.devices=[{UUIDS[0]}]", "run.name=phases").returncode == 0
    (record,) = metered.records("phases")
    (found,) = record["evidence"]["attribution"]
    assert found["joules"] is None
    assert "lag was never probed" in found["reason"]
    assert value(record, "energy.iteration") > 0


SERVES = (
    *RUN, "workload=gpt", "workload.mode=serve", "workload.shape.layers=1", "device.threads=1",
    "serve.prompt_tokens=9", "serve.output_tokens=4", "power=nvml", f"power.devices=[{UUIDS[0]}]",
)  # fmt: skip


def test_prefill_and_decode_of_what_serves_are_metered_apart(metered):
    """At 100 W: a step of the rows costs what it takes, and all of the span is its tokens'."""
    assert metered(*SERVES, "power.phases=true", "power.phase_s=0.3", "run.name=apart").returncode == 0
    (record,) = metered.records("apart")
    assert value(record, "energy.prefill") > 0
    assert value(record, "energy.decode") > 0
    token_j, tokens_per_s = value(record, "energy.token"), value(record, "throughput.tokens")
    assert token_j * tokens_per_s == pytest.approx(100, rel=0.1)


def test_a_run_under_loadgen_is_metered(metered):
    """The same watts, over the tokens that came within the sensor's window."""
    pytest.importorskip("mlperf_loadgen", reason="mlcommons-loadgen, of the extra serve, is not installed")
    single = (*SERVES, "serve.loadgen=single_stream", "serve.good_share=0.5", "run.name=single")
    assert metered(*single).returncode == 0
    (record,) = metered.records("single")
    assert record["evidence"]["loadgen"]["valid"]
    assert value(record, "power.mean") == pytest.approx(100, rel=0.05)
    assert value(record, "energy.token") > 0
    assert value(record, "energy.request") == pytest.approx(4 * value(record, "energy.token"), rel=0.1)
    assert metered("bundle", "single", "-o", "single.tar").returncode == 0
    done = metered("verify", "single.tar")
    assert done.returncode == 0, done.stdout
