"""Stored results and their comparison, on made-up samples."""

import math

import numpy as np
import pytest

from realtime_mer.bench.compare import compare, text
from realtime_mer.bench.plots import plot
from realtime_mer.bench.results import Result, machine, read, series
from realtime_mer.errors import OutputError, SourceError


def result(**samples) -> Result:
    lines = tuple(
        series(name, "frames/s" if name.startswith("rate") else "ms", "made up", values)
        for name, values in samples.items()
    )
    return Result("latency", {"fps": 200.0}, {"dropped": 0}, lines, machine())


def noisy(median, seed, n=2000):
    return np.random.default_rng(seed).gamma(4.0, median / 4, n)


def test_quantiles_are_those_of_the_samples():
    line = series("x", "ms", "made up", range(101))
    assert line.quantiles() == (50, 95, 99, 100)
    assert all(math.isnan(q) for q in series("x", "ms", "made up", []).quantiles())


def test_a_stored_result_reads_back_with_every_sample(tmp_path):
    stored = result(stage=[0.123456789, 2.0, 3.5])
    stored.save(tmp_path / "new" / "a.json")
    back = read(tmp_path / "new" / "a.json")
    assert back.series[0].samples == pytest.approx(stored.series[0].samples, rel=1e-4)
    assert (back.kind, back.settings, back.facts, back.machine) == (
        "latency",
        {"fps": 200.0},
        {"dropped": 0},
        stored.machine,
    )
    assert back.versions["numpy"] == np.__version__


def test_the_table_says_what_each_number_is():
    table = result(stage=[1.0, 2.0]).text()
    assert "stage: made up" in table
    assert "p99" in table
    assert "load" in table


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 99, "series": []}', '{"format": 1, "series": [3]}'])
def test_what_is_no_result_is_one_clear_error(tmp_path, content):
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(SourceError, match="not a benchmark result"):
        read(path)


def test_missing_and_unwritable_files(tmp_path):
    with pytest.raises(SourceError, match="cannot read"):
        read(tmp_path / "no.json")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        result(stage=[1.0]).save(tmp_path / "file" / "a.json")


def test_two_runs_of_the_same_thing_show_no_difference():
    verdicts = [
        compare(result(stage=noisy(1.0, seed)), result(stage=noisy(1.0, 100 + seed)))[0].verdict for seed in range(20)
    ]
    assert verdicts.count("no difference shown") >= 16  # one in twenty errs by construction


def test_a_real_difference_is_seen_and_its_direction_judged_by_unit():
    a = result(stage=noisy(1.0, 1), rate=noisy(500, 2), only_a=[1.0])
    b = result(stage=noisy(1.2, 3), rate=noisy(600, 4))
    slower, faster = compare(a, b)
    assert (slower.name, slower.verdict) == ("stage", "worse")
    assert slower.low < 20 < slower.high
    assert (faster.name, faster.verdict) == ("rate", "better")
    assert "worse" in text(a, b, [slower, faster])


def test_neighboring_samples_that_go_together_widen_the_interval():
    random = np.random.default_rng(5)
    slow = np.repeat(random.gamma(4, 0.25, 40), 50)
    (together,) = compare(result(stage=slow), result(stage=slow))
    (apart,) = compare(result(stage=random.permutation(slow)), result(stage=random.permutation(slow)))
    assert together.high - together.low > 1.5 * (apart.high - apart.low)


def test_too_few_samples_show_nothing():
    (difference,) = compare(result(stage=[1.0, 1.0]), result(stage=[9.0, 9.0]))
    assert difference.verdict == "no difference shown"


def test_other_settings_are_warned_of():
    a = result(stage=noisy(1, 1))
    b = Result("latency", {"fps": 30.0}, {}, a.series, a.machine)
    assert "warning: the settings differ" in text(a, b, compare(a, b))


def test_plots_are_written(tmp_path):
    pytest.importorskip("matplotlib")
    plot(result(stage=noisy(1, 1, 200), rate=[3.0, 4.0]), tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 5000
    with pytest.raises(OutputError, match="cannot write the plot"):
        plot(result(stage=[1.0]), tmp_path / "a.nothing")
