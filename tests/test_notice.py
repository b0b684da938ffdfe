"""What people are told about an alarm."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Literal

import pytest

from router import Wording, alarm_notice, plain_text
from router.alarm import Cause
from router.testing import make_alarm

DE, EN = Wording("de", "Europe/Berlin"), Wording("en", "Europe/Berlin")


def test_an_alarm_says_what_is_wrong_since_when_and_what_to_do() -> None:
    notice = alarm_notice(make_alarm(Cause.DEAD, subject="crm", count=3), DE)
    assert notice.title == "Alarm: Unzustellbar an crm: 3"
    assert plain_text(notice.document) == (
        "Alarm: Unzustellbar an crm: 3\n\n"
        "Seit 10.03.2026, 09:20.\nWelche und warum: aftercall dead; noch einmal: aftercall replay.\n\n"
        "aftercall über sich selbst"
    )


def test_when_it_is_well_again_it_says_from_when_until_when() -> None:
    alarm = make_alarm(Cause.DOWN, subject="crm")
    notice = alarm_notice(make_alarm(Cause.DOWN, cleared=alarm.since + timedelta(minutes=42)), EN)
    assert notice.title == "All clear: crm takes calls again"
    assert "From 2026-03-10, 09:20 until 2026-03-10, 10:02." in plain_text(notice.document)


def test_what_is_not_watched_any_more_is_not_called_well() -> None:
    ended = make_alarm(Cause.DOWN, subject="crm", count=1135, cleared=make_alarm().since, unwatched=True)
    assert alarm_notice(ended, EN).title == (
        "Alarm ended: crm is not set up any more; what still waits for it is orphaned: 1135"
    )
    silent = make_alarm(Cause.SILENT, subject="other", cleared=make_alarm().since, unwatched=True)
    assert alarm_notice(silent, DE).title == "Alarm beendet: Ob Anrufe von other kommen, wird nicht mehr beobachtet"


def test_what_was_ended_is_not_said_to_be_gone() -> None:
    quarantine = make_alarm(Cause.QUARANTINE, cleared=make_alarm().since)
    assert alarm_notice(quarantine, EN).title.endswith("open any more (read, ended or purged)")
    dead = make_alarm(Cause.DEAD, subject="crm", cleared=make_alarm().since)
    assert alarm_notice(dead, EN).title.endswith("open any more (replayed, ended or purged)")


@pytest.mark.parametrize("language", ["de", "en"])
@pytest.mark.parametrize("cause", Cause)
def test_every_cause_has_words_of_its_own(cause: Cause, language: Literal["de", "en"]) -> None:
    wording = Wording(language, "UTC")
    alarm = make_alarm(cause, subject="Vertrieb {count}", count=7)
    raised = alarm_notice(alarm, wording)
    cleared = alarm_notice(make_alarm(cause, subject="Vertrieb {count}", cleared=alarm.since), wording)
    assert raised.title.startswith("Alarm: ")
    assert raised.title.partition(": ")[2] != cleared.title.partition(": ")[2]
    ended = alarm_notice(make_alarm(cause, subject="Vertrieb {count}", cleared=alarm.since, unwatched=True), wording)
    assert ended.title not in (raised.title, cleared.title)
    for text in map(plain_text, (raised.document, cleared.document, ended.document)):
        assert "{" not in text.replace("Vertrieb {count}", "")


def test_who_blocked_the_router_is_named_where_it_is_known() -> None:
    assert (
        alarm_notice(make_alarm(Cause.BLOCKED, subject="crm"), EN).title
        == "Alarm: crm kept the whole router waiting (1)"
    )
    assert alarm_notice(make_alarm(Cause.BLOCKED, subject=""), EN).title == "Alarm: The whole router stood still (1)"
    nobody = alarm_notice(make_alarm(Cause.BLOCKED, subject=""), DE)
    assert "Welche Senke es war, ist nicht zu sagen" in plain_text(nobody.document)


def test_a_subject_cannot_write_a_second_line_nor_a_long_one() -> None:
    title = alarm_notice(make_alarm(subject="a\nb" + "c" * 500), DE).title
    assert "\n" not in title
    assert len(title) < 150


@pytest.mark.parametrize("cause", Cause)
def test_an_alarm_names_the_router_that_says_so(cause: Cause) -> None:
    alarm = make_alarm(cause, router="ber-{count}\n1")
    assert alarm_notice(alarm, DE).title.startswith("Alarm (ber-{count} 1): ")
    assert alarm_notice(replace(alarm, cleared=alarm.since), DE).title.startswith("Entwarnung (ber-{count} 1): ")
    ended = replace(alarm, cleared=alarm.since, unwatched=True, router="r" * 500)
    assert alarm_notice(ended, EN).title.startswith("Alarm ended (rrr")
    assert len(alarm_notice(ended, EN).title) < 250


def test_an_alarm_of_the_store_has_the_same_key_whoever_tells_it_and_a_router_s_own_has_its_own() -> None:
    def keys(cause: Cause) -> set[str]:
        return {make_alarm(cause, router=router).key for router in ("a", "b")}

    assert len(keys(Cause.DEAD)) == 1
    assert len(keys(Cause.STORE)) == 2


def test_the_key_is_that_of_one_telling() -> None:
    alarm = make_alarm()
    keys = {
        alarm.key,
        make_alarm(count=2).key,
        make_alarm(subject="other").key,
        make_alarm(Cause.DEAD).key,
        make_alarm(cleared=alarm.since).key,
    }
    assert len(keys) == 5
    assert make_alarm().key == alarm.key
    assert not [key for key in keys if "crm" in key]
