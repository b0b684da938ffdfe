"""Templates: what they may do, where they end, and what their errors keep to themselves."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import minijinja
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.errors import Rejected
from router.event import plain
from router.render import MAX_OUTPUT, Renderer
from router.sample import sample_event

RENDERER = Renderer(ZoneInfo("Europe/Berlin"))


def render(source: str, **changes: Any) -> str:
    """The template, filled with the sample event."""
    return RENDERER.compile(source).render(event=plain(sample_event(**changes)))


def refusal(source: str, **changes: Any) -> str:
    template = RENDERER.compile(source)
    with pytest.raises(Rejected) as caught:
        template.render(event=plain(sample_event(**changes)))
    return str(caught.value)


def mistake(source: str) -> str:
    with pytest.raises(ValueError, match=r"^template: ") as caught:
        RENDERER.compile(source)
    return str(caught.value)


# -------------------------------------------------------------------------------------------------------- what they see


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ event.headline }}", "Rückfrage zur Rechnung"),
        ("{{ event.channel.name }}/{{ event.call_id }}.md", "Support/call_sample_0001.md"),
        ("{{ event.caller.e164 }} {{ event.direction }} {{ event.duration }}", "+4915228817386 inbound 312"),
        ("{% for item in event.action_items %}- {{ item.text }}\n{% endfor %}", "- Tarifoptionen per E-Mail senden\n"),
        ("{{ event.transcript[0].speaker }} {{ event.transcript | length }}", "caller 2"),
        ("{{ event.raw.call.id }}", "call_sample_0001"),
        ("{% if event.note %}{{ event.note | upper }}{% endif %}", "TARIF L ANBIETEN."),
        ("{{ event.summary | cut(5) }}", "Frau…"),
        ("{% set name = event.channel.name %}{{ name }}", "Support"),
        ("{{ event['channel']['name'] }}", "Support"),
        ("{{ event.small_talk[0].pinned }}", "False"),
        ("", ""),
        ("plain text, 100 % {literal}", "plain text, 100 % {literal}"),
    ],
)
def test_a_template_is_filled_with_the_event(source: str, text: str) -> None:
    assert render(source) == text


@pytest.mark.parametrize("source", ["{{ event.note }}", "{{ event.started_at | date }}", "{{ event.note | cut(3) }}"])
def test_what_is_missing_is_written_as_nothing(source: str) -> None:
    assert render(source, note=None, started_at=None) == ""


@given(st.text(st.characters(exclude_categories=["Cs"])))
@pytest.mark.case("TPL-01")
def test_text_from_a_call_is_never_compiled(text: str) -> None:
    assert render("{{ event.summary }}", summary=text) == text


@pytest.mark.parametrize(
    "text",
    [
        "{{ 7*7 }}",
        "{% for x in range(9) %}x{% endfor %}",
        "{# x #}",
        "${x}",
        "{0.__class__}",
        "%s %d",
        "<b>&amp;</b>",
        "{{",
    ],
)
@pytest.mark.case("TPL-01")
def test_the_syntax_of_templates_in_a_call_is_text(text: str) -> None:
    assert render("{{ event.summary }}|{{ event.summary | cut(99) }}|{{ event.summary }}", summary=text) == "|".join(
        [text] * 3
    )


def test_json_is_exact_and_ends_no_script() -> None:
    raw = {"id": 2**100, "text": "</script><b>&'\u2028ü", "n": None, "f": 1.5, "l": [True]}
    written = render("{{ event.raw | tojson }}", raw=raw)
    assert json.loads(written) == raw
    assert not set("<>&'\u2028") & set(written)


# ------------------------------------------------------------------------------------------------------------- the date


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 3, 29, 0, 59, tzinfo=UTC), "29.03.2026 01:59"),
        (datetime(2026, 3, 29, 1, 0, tzinfo=UTC), "29.03.2026 03:00"),
        (datetime(2026, 10, 25, 0, 30, tzinfo=UTC), "25.10.2026 02:30"),
        (datetime(2026, 10, 25, 1, 30, tzinfo=UTC), "25.10.2026 02:30"),
        (datetime(2026, 12, 31, 23, 30, tzinfo=UTC), "01.01.2027 00:30"),
    ],
)
def test_a_date_is_local_also_when_the_clocks_change(moment: datetime, text: str) -> None:
    assert render("{{ event.started_at | date }}", started_at=moment) == text


def test_a_date_can_show_which_of_two_half_past_two_it_is() -> None:
    source = "{{ event.started_at | date('%H:%M %z') }}"
    assert render(source, started_at=datetime(2026, 10, 25, 0, 30, tzinfo=UTC)) == "02:30 +0200"
    assert render(source, started_at=datetime(2026, 10, 25, 1, 30, tzinfo=UTC)) == "02:30 +0100"


def test_a_date_is_in_the_zone_of_the_renderer() -> None:
    template = Renderer(ZoneInfo("Asia/Tokyo")).compile("{{ event.started_at | date('%Y/%m/%d %H') }}")
    moment = datetime(2026, 12, 31, 15, tzinfo=UTC)
    assert template.render(event=plain(sample_event(started_at=moment))) == "2027/01/01 00"


@pytest.mark.parametrize(
    ("length", "text"),
    [(1, "…"), (0, "…"), (-5, "…"), (9, "Rückfrag…"), (10, "Rückfrage…"), (22, "Rückfrage zur Rechnung")],
)
def test_cut_leaves_a_mark(length: int, text: str) -> None:
    assert render(f"{{{{ event.headline | cut({length}) }}}}") == text


# ---------------------------------------------------------------------------------------------------------- where it ends

TOO_MUCH = [
    '{{ "a" * 2000000000 }}',
    '{{ "a" * 999999 ~ "bc" }}',
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "{% for i in range(99999) %}{{ event.summary }}{% endfor %}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{% macro m(n) %}{{ m(n + 1) }}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}",
    "{{ range(2000000000) | list | length }}",
    "{{ lipsum(n=100000) }}",
    '{{ "%2000000000d" | format(1) }}',
    '{{ "a" | center(2000000000) }}',
    '{{ "a" | indent(2000000000) }}',
    '{{ event.transcript | join("a" * 900000) }}',
    '{{ event.summary | replace("", "a" * 900000) }}',
    "{{ event.transcript | slice(2000000000) }}",
    '{{ event.transcript | batch(2000000000, "x") }}',
    "{{ event | tojson(indent=2000000000) }}",
    "{{ 2 ** 1000000 }}",
]


@pytest.mark.parametrize("source", TOO_MUCH)
@pytest.mark.timeout(10)
@pytest.mark.case("TPL-03", "TPL-04")
def test_a_template_that_would_never_end_or_fill_the_memory_is_refused(source: str) -> None:
    assert refusal(source).startswith("template: ")


@pytest.mark.parametrize("name", ["format", "indent", "replace", "join", "center", "slice", "batch", "safe"])
@pytest.mark.case("TPL-03", "TPL-06")
def test_filters_that_build_much_of_little_or_vouch_for_a_text_are_not_there(name: str) -> None:
    assert f"filter {name} is unknown" in refusal(f"{{{{ event.summary | {name}(1) }}}}")


def test_as_much_as_is_allowed_is_written() -> None:
    assert len(render(f'{{{{ "a" * {MAX_OUTPUT} }}}}')) == MAX_OUTPUT
    assert refusal(f'{{{{ "a" * {MAX_OUTPUT + 1} }}}}') == f"template: wrote more than {MAX_OUTPUT} characters"


def test_what_one_template_spent_is_not_missed_by_the_next() -> None:
    spent = "{% for i in range(60000) %}{% endfor %}"
    assert render(spent) == render(spent) == ""


# ------------------------------------------------------------------------------------------------------ names and python


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("{{ event.strated_at | date }}", "strated_at"),
        ("{{ event.channel.nam | cut(5) }}", "channel.nam"),
        ("{{ event.caller.number }}", "caller.number"),
        ("{{ event.a }}{{ event.b }}{{ event.note }}", "a"),
        ("{% if event.priority is defined %}x{% endif %}", "priority"),
        ("{{ event.clear() }}", "clear"),
    ],
)
def test_a_name_that_no_event_has_is_found_before_anything_is_sent(source: str, named: str) -> None:
    """Otherwise a filter would take it for something that is missing from this call."""
    top, _, inside = named.partition(".")
    what = f"event.{top} has no {inside}; it has " if inside else f"an event has no {top}; it has id, sequence, "
    assert mistake(source).startswith(f"template: line 1: {what}")


@pytest.mark.parametrize(
    "source",
    [
        "{{ evnt.note }}",
        "{{ note }}",
        "{{ event.raw.nope }}",
        "{{ event.transcript[9] }}",
        "{{ event.transcript[0].nope }}",
    ],
)
def test_an_unknown_name_is_refused_with_its_line(source: str) -> None:
    assert refusal(f"\n{source}") == "template: line 2: undefined value"


def test_a_variable_of_the_template_may_be_called_as_it_likes() -> None:
    assert render("{% for event in [{'x': 1}] %}{{ event.x }}{% endfor %}") == "1"
    assert render("{% set event = {'x': 2} %}{{ event.x }}") == "2"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{{ x", "template: line 1: syntax error: unexpected end of input, expected end of variable block"),
        ("a\n{% if x %}", "template: line 2: syntax error: unexpected end of input"),
        ("{% nope %}", "template: line 1: syntax error: unknown statement nope"),
        (
            "{{ 99999999999999999999999999999999999999999 }}",
            "template: line 1: syntax error: invalid integer (too large)",
        ),
    ],
)
def test_a_template_that_is_none_says_where(source: str, said: str) -> None:
    assert mistake(source).startswith(said)


@pytest.mark.parametrize(
    "source",
    [
        "{{ event.summary.upper() }}",
        "{{ event.summary.format(1) }}",
        "{{ event.transcript.nope() }}",
        "{{ event.raw.nope() }}",
        "{{ event.raw.__class__ }}",
        "{{ event.raw.__init__() }}",
        "{{ event.raw.get.__globals__ }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ debug() }}",
        "{{ env('HOME') }}",
        "{% include '/etc/passwd' %}",
        "{% import '/etc/passwd' as x %}",
        "{% extends '/etc/passwd' %}",
    ],
)
def test_a_template_reaches_nothing_outside_of_it(source: str) -> None:
    assert refusal(source).startswith("template: ")


# ------------------------------------------------------------------------------------------------------ what errors say

CANARY = "Geheimnis-77"
LEAKY = [
    "{% include event.summary %}",
    "{% extends event.summary %}",
    "{% import event.summary as x %}",
    "{{ event.summary + 1 }}",
    "{{ event.summary | int }}",
    "{{ event.summary | float }}",
    "{{ event.summary | date }}",
    "{{ event.summary | cut(event.summary) }}",
    "{{ event.summary | round }}",
    "{{ event.summary | filesizeformat }}",
    "{{ range(event.summary) }}",
    "{{ event[event.summary] }}",
    "{{ event[event.summary]() }}",
    "{{ event.raw[event.summary].x }}",
    "{{ event.summary() }}",
    "{{ event.summary.x }}",
    "{{ event.summary.x() }}",
    "{{ -event.summary }}",
    "{{ event.summary ** 2 }}",
    "{{ event.duration // 0 }}",
    "{{ event.duration % 0 }}",
    "{{ event.transcript | map(event.summary) }}",
    "{{ event.transcript | map(attribute='text') | sum }}",
    "{{ event.transcript | select(event.summary) }}",
    "{{ event.transcript | sort(attribute=7) }}",
    "{{ event.summary | dictsort }}",
    "{{ event.raw.fromkeys(event.duration) }}",
    "{{ event.summary | nosuchfilter }}",
    "{{ event.summary is nosuchtest }}",
    "{{ dict(event.summary) }}",
    "{% for a, b in event.summary %}{% endfor %}",
    "{% autoescape event.summary %}{% endautoescape %}",
]


@pytest.mark.parametrize("source", LEAKY)
def test_no_error_has_a_value_of_the_call_in_it(source: str) -> None:
    said = refusal(source, summary=CANARY, duration=77.25, raw={CANARY: CANARY})
    assert "Geheimnis" not in said
    assert "77" not in said
    assert said.count("\n") == 0


def test_what_no_output_could_write_is_replaced() -> None:
    assert set(render("{{ event.summary }}", summary="a\ud800")) == {"a", "\ufffd"}


def test_integers_of_the_raw_body_are_exact() -> None:
    raw = {"id": 123456789012345678901234567890, "n": 2**53 + 1}
    assert render("{{ event.raw.id }} {{ event.raw.n }}", raw=raw) == "123456789012345678901234567890 9007199254740993"


def test_an_error_hides_where_it_came_from() -> None:
    """The cause would have the value."""
    template = RENDERER.compile("{{ event.summary | date }}")
    with pytest.raises(Rejected) as caught:
        template.render(event={"summary": CANARY})
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_an_error_never_shows_a_value() -> None:
    """minijinja shows every variable when it is told to debug."""
    template = RENDERER.compile("{{ event.headline }}{{ event.summary.nothing.there }}")
    with pytest.raises(minijinja.TemplateError) as caught:
        template._environment.render_template(template._name, event=plain(sample_event()))  # type: ignore[attr-defined]
    assert "Rückfrage" not in f"{caught.value}{caught.value!r}"
