"""Logs as tools write them: what is taken of each, in watts, and what is refused with what to change."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.energy.sensors.external import ExternalMeter
from harness.energy.sensors.log_columns import watts_of
from harness.energy.sensors.log_times import epoch_s
from harness.energy.sensors.registry import resolve


@pytest.fixture(autouse=True)
def utc(monkeypatch):
    """The machine's zone is UTC, unless a test says another."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def stamps() -> dict[str, str]:
    """The present, as tools write it."""
    now = datetime.now(UTC)
    return {
        "SMI": now.strftime("%Y/%m/%d %H:%M:%S.%f")[:-3],
        "ISO": now.replace(tzinfo=None).isoformat(timespec="milliseconds"),
        "ZULU": now.isoformat(timespec="milliseconds"),
        "PTD": now.strftime("%m-%d-%Y %H:%M:%S.%f")[:-3],
        "CLOCK": now.strftime("%H:%M:%S.%f")[:-3],
        "GERMAN": now.strftime("%d.%m.%Y %H:%M:%S"),
        "DATE": now.strftime("%Y-%m-%d"),
        "MS": str(int(now.timestamp() * 1e3)),
        "US": str(int(now.timestamp() * 1e6)),
        "NS": str(int(now.timestamp() * 1e9)),
        "S": f"{now.timestamp():.3f}",
    }


def fill(text: str) -> str:
    """Put the present into a log."""
    for name, value in stamps().items():
        text = text.replace("{" + name + "}", value)
    return text


TURBOSTAT = (
    "Core\tCPU\tAvg_MHz\tBusy%\tTime_Of_Day_Seconds\tPkgWatt\tRAMWatt\n"
    "-\t-\t10\t0.57\t{S}\t76.94\t25.52\n0\t0\t4\t0.25\t{S}\t44.66\t12.1\n0\t8\t4\t0.25\t{S}\n"
)
DCGMI = "{p}#Entity   POWER   TOTEC   SMCLK\n{p}ID        W       mJ      MHz\n{p}GPU 0    120.5   1000   1410\n{p}GPU 1    130.25   2000   1400\n"  # noqa: E501

READ = {
    "nvidia-smi": ("timestamp, power.draw [W]\n{SMI}, 302.12 W\n", "", 302.12),
    "nvidia-smi, nounits": ("timestamp, power.draw [W]\n{SMI}, 302.12\n", "", 302.12),
    "nvidia-smi, a row a GPU": (
        "timestamp, index, power.draw [W]\n{SMI}, 0, 300.1 W\n{SMI}, 1, 303.1 W\n",
        "",
        603.2,
    ),
    "nvidia-smi, one GPU named": (
        "timestamp, index, power.draw [W]\n{SMI}, 0, 300.1 W\n{SMI}, 1, 303.1 W\n",
        "?device=1",
        303.1,
    ),
    "nvidia-smi, limits beside": (
        "timestamp, power.limit [W], power.draw [W]\n{SMI}, 700.00 W, 88.5 W\n",
        "",
        88.5,
    ),
    "nvidia-smi, three draws": (
        "timestamp, power.draw [W], power.draw.average [W], power.draw.instant [W]\n{SMI}, 1 W, 2 W, 3 W\n",
        "",
        3.0,
    ),
    "nvidia-smi, one draw chosen": (
        "timestamp, power.draw [W], power.draw.average [W], power.draw.instant [W]\n{SMI}, 1 W, 2 W, 3 W\n",
        "?column=power.draw.average",
        2.0,
    ),
    "amd-smi": (
        (
            "'CTRL' + 'C' to stop watching output:\ntimestamp,gpu,socket_power,mode\n{S},0,650,ENABLED\n"
            "timestamp,gpu,socket_power,mode\n{S},0,655,ENABLED\n"
        ),
        "",
        655.0,
    ),
    "xpu-smi": ("Timestamp, DeviceId, GPU Utilization (%), GPU Power (W)\n{CLOCK}, 0, 9, 243\n", "", 243.0),
    "dcgmi": (DCGMI.replace("{p}", ""), "", 250.75),
    "dcgmi behind ts": (DCGMI.replace("{p}", "{ISO} "), "?device=GPU 1", 130.25),
    "turbostat": (TURBOSTAT, "", 76.94),
    "turbostat --Summary": ("PkgTmp\tPkgWatt\tRAMWatt\n29\t25.50\t6.75\n", "", 25.5),
    "turbostat, memory chosen": (TURBOSTAT, "?column=RAMWatt", 25.52),
    "PTDaemon": (
        "Time,{PTD},Watts,272.930000,Volts,-1.000000,Amps,-1.000000,PF,-1.000000,Mark,notset\n",
        "",
        272.93,
    ),
    "epoch, milliseconds": ("time,power_w\n{MS},55.0\n", "", 55.0),
    "epoch, microseconds": ("time,power_w\n{US},55.0\n", "", 55.0),
    "epoch, nanoseconds": ("time,power_w\n{NS},55.0\n", "", 55.0),
    "epoch, unit in the header": ("time_ms,power_w\n{MS},55.0\n", "", 55.0),
    "ISO with zone": ("time,power_w\n{ZULU},55.0\n", "", 55.0),
    "semicolons": ("Zeit;x;time;Leistung power [W]\na;1;{GERMAN};1302,5\n", "", 1302.5),
    "date and time apart": ("Date,Time,Power (kW)\n{DATE},{CLOCK},1.25\n", "", 1250.0),
    "milliwatts": ("time,power_mw\n{S},55000\n", "", 55.0),
    "unit in the cell alone": ("time,power\n{S},55 W\n", "", 55.0),
    "unit named by the user": ("time,voltage,current,power\n{S},230.4,1.31,301.8\n", "?unit=W", 301.8),
    "no header, unit named": ("{S},55.0\n", "?unit=W", 55.0),
    "another run appended": ("time,power_w\n{S},1\ntime,volts,power_w\n{S},230,77\n", "", 77.0),
    "quoted": ('"time","power (W)"\n"{ISO}","55.0"\n', "", 55.0),
}  # fmt: skip


@pytest.mark.parametrize("case", READ)
def test_a_log_is_read_by_its_header(tmp_path, case):
    """The value is the one that the header names, whatever stands in the second column."""
    text, choices, watts = READ[case]
    log = tmp_path / "log.csv"
    log.write_text(fill(text))
    (meter,) = resolve("meter", devices=[f"file:{log}{choices}"])
    assert getattr(meter, "reason", None) is None
    assert meter.read(meter.sensors[0]).power_w == pytest.approx(watts)
    assert "column" in meter.sensors[0].taken


REFUSED = {
    "bare power": ("time,power\n{S},55\n", "", "names no unit"),
    "amperes": ("time,current [A]\n{S},55\n", "", "no column is a power"),
    "volts named as power": ("time,power [V]\n{S},55\n", "", "no column is a power"),
    "a unit that contradicts": ("time,power [W]\n{S},55 kW\n", "", "is in W and holds"),
    "a cell in amperes": ("time,power\n{S},55 A\n", "", "is in A"),
    "a limit alone": ("timestamp, power.limit [W]\n{SMI}, 700 W\n", "", "no column is a power"),
    "apparent power": ("time,apparent power (VA)\n{S},55\n", "", "no column is a power"),
    "no header": ("{S},55.0\n", "", "no header names"),
    "not available": ("timestamp, power.draw [W]\n{SMI}, [N/A]\n", "", "no number"),
    "PTDaemon's error": ("Time,{PTD},Watts,-1.000000,Volts,-1.0\n", "", "below 0"),
    "error value": ("time,power_w\n{S},65535\n", "", "error value"),
    "zero": ("time,power_w\n{S},0\n", "", "0 W"),
    "two plugs": ("time,psu1_w,psu2_w\n{S},55,66\n", "", "several columns are powers"),
    "an unknown column": ("time,power_w\n{S},55\n", "?column=x", "no column is called x"),
    "an unknown device": ("time,gpu,power_w\n{S},0,55\n", "?device=7", "no device 7; there are: 0"),
    "an unknown choice": ("time,power_w\n{S},55\n", "?columns=x", "columns is no choice"),
    "an unknown zone": ("time,power_w\n{S},55\n", "?zone=Mars", "no time zone"),
    "times from its own start": ("time,power_w\n12.5,55\n", "", "is no time"),
    "rows of unknown GPUs": (
        "timestamp, power.draw [W]\n{SMI}, 300 W\n{SMI}, 301 W\n", "", "none says of which device",
    ),
    "tiles": ("Timestamp, DeviceId, TileId, GPU Power (W)\n{CLOCK}, 0, 1, 20\n", "", "tiles"),
    "dcgmi without power": ("#Entity   SMCLK\nID        MHz\nGPU 0    1410\n", "", "155"),
    "no row yet": ("time,power_w\n{S},5", "", "no whole line"),
    "stale": ("time,power_w\n1600000000,5\n", "", "s old"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_log_that_names_no_watts_is_refused_with_the_reason(tmp_path, case):
    """Nothing is taken, and the reason says what to change."""
    text, choices, said = REFUSED[case]
    log = tmp_path / "log.csv"
    log.write_text(fill(text))
    (meter,) = resolve("meter", devices=[f"file:{log}{choices}"])
    assert said in meter.reason


def test_a_time_without_a_zone_is_this_machines(tmp_path, monkeypatch):
    """In Tokyo, local time is read; UTC's is refused with the zone it was taken for, and can be named."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    log = tmp_path / "log.csv"
    log.write_text(f"time,power_w\n{datetime.now().astimezone().replace(tzinfo=None).isoformat()},55\n")
    (meter,) = resolve("meter", devices=[f"file:{log}"])
    assert "this machine's zone, JST, UTC+09:00" in meter.sensors[0].taken
    log.write_text(f"time,power_w\n{datetime.now(UTC).replace(tzinfo=None).isoformat()},55\n")
    (meter,) = resolve("meter", devices=[f"file:{log}"])
    assert "was taken for JST, UTC+09:00; say another" in meter.reason
    (meter,) = resolve("meter", devices=[f"file:{log}?zone=UTC"])
    assert meter.read(meter.sensors[0]).power_w == 55


def test_an_hour_that_comes_twice_is_the_one_that_is_now():
    """02:30 of 25 October 2026 in Berlin: summer time at 00:30 UTC, winter time an hour later."""
    from zoneinfo import ZoneInfo

    berlin = ZoneInfo("Europe/Berlin")
    for hours in (0, 1):
        now = datetime(2026, 10, 25, 0, 30, tzinfo=UTC) + timedelta(hours=hours)
        assert epoch_s("2026-10-25 02:30:00", now.timestamp(), berlin) == now.timestamp()


def test_a_gpu_that_falls_silent_leaves_no_sum(tmp_path):
    """Both were there at opening: the sum of one is no sum."""
    log = tmp_path / "log.csv"
    head = "timestamp, index, power.draw [W]\n"
    log.write_text(fill(head + "{SMI}, 0, 300 W\n{SMI}, 1, 303 W\n"))
    meter = ExternalMeter.open(f"file:{log}")
    assert "the sum of 0, 1" in meter.sensors[0].taken
    log.write_text(fill(head + "{SMI}, 0, 300 W\n"))
    with pytest.raises(Exception, match="no line of 1 any more"):
        meter.read(meter.sensors[0])
    old = (datetime.now(UTC) - timedelta(seconds=30)).strftime("%Y/%m/%d %H:%M:%S")
    log.write_text(fill(head + f"{old}, 1, 303 W\n" + "{SMI}, 0, 300 W\n"))
    with pytest.raises(Exception, match=r"the last line of 1 is 3. s old"):
        meter.read(meter.sensors[0])


def test_a_tool_without_times_is_as_old_as_its_file(tmp_path):
    """Dcgmi writes no times: the file's last change counts, and one of an hour ago is stale."""
    log = tmp_path / "dcgmi.out"
    log.write_text(fill(DCGMI.replace("{p}", "")))
    meter = ExternalMeter.open(f"file:{log}")
    assert "since the tool writes none" in meter.sensors[0].taken
    os.utime(log, (time.time() - 3600, time.time() - 3600))
    with pytest.raises(Exception, match="s old"):
        meter.read(meter.sensors[0])


HEADERS = st.one_of(
    st.sampled_from(
        ["power", "power_w", "power (kW)", "current [A]", "power.limit [W]", "watts", "load (%)", "E (Wh)",
         "MW", "power.draw [mW]", "power factor", "U [V]", "PkgWatt", "index", "power [VA]", "µW"]
    ),
    st.text("pow eratsWkmV[]()_%", max_size=12),
)  # fmt: skip
CELLS = st.one_of(
    st.floats(1, 1e3).map(lambda x: f"{x:.2f}"),
    st.sampled_from(
        ["55 W", "55 mW", "5 A", "[N/A]", "0x10", "1e2", "1,5", "", "12 V", "nan", "7 kW", "3 W/m2"]
    ),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(HEADERS, CELLS), min_size=1, max_size=4))
def test_a_value_comes_only_from_where_header_and_unit_say_so(tmp_path_factory, columns):
    """Whatever the header and the cells: a reading is one cell, in a unit of power that was named for it."""
    log = tmp_path_factory.mktemp("fuzz") / "log.csv"
    clean = [(h.replace(",", " ").strip(), c.replace(",", ".")) for h, c in columns]
    log.write_text(
        f"time,{','.join(h for h, _ in clean)}\n{time.time():.3f},{','.join(c for _, c in clean)}\n"
    )
    (meter,) = resolve("meter", devices=[f"file:{log}"])
    if not meter.sensors:
        return
    watts = meter.read(meter.sensors[0]).power_w
    header = meter.sensors[0].taken.split("column ", 1)[1].rsplit(" in ", 1)[0].split(", times")[0]
    header = header.rpartition(" in ")[0] or header
    named = [(h, c) for h, c in clean if h.lstrip("#").strip() == header]
    assert named
    possible = []
    for name, cell in named:
        number, _, unit = cell.partition(" ")
        words = [w for w in (unit, *_words(name)) if watts_of(w) is not None]
        possible += [float(number) * watts_of(w) for w in words] if _is_number(number) else []
    assert any(watts == pytest.approx(p) for p in possible)


def _words(name: str) -> list[str]:
    """Every ending, bracketed part and word of a header that could be a unit."""
    for mark in "[]()_./-":
        name = name.replace(mark, " ")
    return [*name.split(), *(name[i:].strip() for i in range(len(name)))]


def _is_number(text: str) -> bool:
    try:
        return float(text) > 0
    except ValueError:
        return False
