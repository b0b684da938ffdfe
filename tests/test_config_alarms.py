"""`alarms` in routes.yaml."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from router.config import Config, load
from router.errors import ConfigError

BERLIN = ZoneInfo("Europe/Berlin")
HEAD = "sources: {s: {}}\nsinks: {screen: {kind: console}, archive: {kind: file, root: archive}}\n"


def loaded(folder: Path, text: str) -> Config:
    file = folder / "routes.yaml"
    file.write_text(HEAD + text, encoding="utf-8")
    return load(file, {})


def test_everything_has_a_default(tmp_path: Path) -> None:
    config = loaded(tmp_path, "")
    assert config.alarms.to == ()
    assert (config.alarms.after.down, config.alarms.after.oldest) == (timedelta(minutes=15), timedelta(minutes=30))
    assert (config.hours.days, config.hours.begins, config.hours.until) == (frozenset(range(5)), time(8), time(18))
    assert config.hours.is_holiday is None


def test_hours_are_completed(tmp_path: Path) -> None:
    hours = loaded(tmp_path, "alarms: {hours: {holidays: DE-NW, until: '20:00'}}\n").hours
    assert (hours.days, hours.begins, hours.until) == (frozenset(range(5)), time(8), time(20))
    assert hours.is_holiday is not None
    assert hours.is_holiday(date(2026, 6, 4))  # Corpus Christi
    noon = datetime(2026, 6, 3, 12, tzinfo=BERLIN)
    assert hours.between(noon, noon + timedelta(days=2)) == timedelta(hours=12)


def test_what_is_written_counts(tmp_path: Path) -> None:
    alarms = loaded(
        tmp_path,
        "alarms: {to: screen, after: {down: 1h}, silent_after: {s: 4h, Support: 2d}, disk_free: 5 GiB, "
        "heartbeat_url: 'http://10.1.0.7/beat', allow_networks: 10.1.0.0/16}\n",
    ).alarms
    assert alarms.to == ("screen",)
    assert (alarms.after.down, alarms.after.oldest) == (timedelta(hours=1), timedelta(minutes=30))
    assert alarms.silent_after == {"s": timedelta(hours=4), "Support": timedelta(days=2)}
    assert alarms.disk_free == 5 * 2**30
    assert "10.1.0.7" not in repr(alarms)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("alarms: {to: [screen, screeen]}", r"routes.yaml:3:23: alarms.to.1: unknown sink 'screeen' .*'screen'"),
        (
            "alarms: {to: archive}",
            r"routes.yaml:3:14: alarms.to: 'archive' is of a kind that cannot carry alarms; those that can are: screen",
        ),
        ("alarms: {after: {donw: 1m}}", r"alarms.after.donw: unknown key 'donw' .*'down'"),
        ("alarms: {silent_after: {s: 0s}}", r"alarms.silent_after.s: '0s' is not allowed; write 1m to 30d"),
        ("alarms: {hours: {days: someday}}", r"alarms.hours.days: 'someday' is no day"),
        ("alarms: {hours: {from: '18:00'}}", r"alarms.hours: `from` and `until` are the same time"),
        ("alarms: {heartbeat_url: 'http://10.1.0.7/b3at'}", r"alarms: .*allow_networks: \[10.1.0.7/32\]"),
        ("alarms: {heartbeat_url: b3at}", r"alarms.heartbeat_url: is no URL"),
    ],
)
def test_mistakes_have_a_place_and_say_what_to_do(text: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=problem) as caught:
        loaded(tmp_path, f"{text}\n")
    assert "b3at" not in str(caught.value)


def test_a_whole_day_is_from_midnight_to_midnight(tmp_path: Path) -> None:
    text = "alarms: {hours: {days: [mon-sun], from: '00:00', until: '24:00'}}\n"
    noon = datetime(2026, 6, 3, 12, tzinfo=BERLIN)
    assert loaded(tmp_path, text).hours.between(noon, noon + timedelta(days=7)) == timedelta(days=7)


RULES = """
routes:
- {name: a, when: {channel: [Support, "Werk*", {id: "42"}]}, to: screen}
never:
- {name: b, when: {not: {channel: Betriebsrat}}, to: screen}
"""


@pytest.mark.parametrize("name", ["s", "Support", " SUPPORT ", "Werkstatt", "42", "betriebsrat"])
def test_silence_of_a_source_and_of_a_channel_that_a_rule_names_is_no_mistake(tmp_path: Path, name: str) -> None:
    assert loaded(tmp_path, f"alarms: {{silent_after: {{'{name}': 4h}}}}\n{RULES}").warnings == ()


def test_silence_of_a_name_that_nothing_has_is_a_warning(tmp_path: Path) -> None:
    (warning,) = loaded(tmp_path, f"alarms: {{silent_after: {{Suport: 4h}}}}\n{RULES}").warnings
    assert str(warning).startswith(
        "routes.yaml:3:33: alarms.silent_after.Suport: 'Suport' is no source, and no rule names such a channel (sources: s);"
    )
