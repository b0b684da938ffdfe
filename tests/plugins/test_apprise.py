from __future__ import annotations

import asyncio
import json
import logging
import re
import sys
import threading
from importlib import import_module
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from router import ConfigError, Part, SinkConfig, Unavailable
from router.config import load
from router.testing import (
    HANG,
    Answer,
    FakeEndpoint,
    MessageContract,
    eventually,
    hostile_deliveries,
    make_delivery,
    make_event,
    sink_context,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from router import Delivery

apprise = import_module("router.plugins.apprise")


def config(url: str, **settings: Any) -> SinkConfig:
    made: SinkConfig = apprise.AppriseConfig.model_validate({"kind": "apprise", "url": url, **settings})
    return made


def sink_config(endpoint: FakeEndpoint, path: str = "/s3cr3t-path", **settings: Any) -> SinkConfig:
    return config(f"json://anna:passw0rd@127.0.0.1:{endpoint.port}{path}", **settings)


@pytest.fixture
async def endpoint() -> AsyncIterator[FakeEndpoint]:
    async with FakeEndpoint() as endpoint:
        yield endpoint


async def post(endpoint: FakeEndpoint, delivery: Delivery | None = None, **settings: Any) -> dict[str, Any]:
    """Deliver it; what the far side got."""
    async with sink_config(endpoint, **settings).open(sink_context(Path())) as sink:
        assert await sink.deliver(delivery or make_delivery()) is None
    body: dict[str, Any] = json.loads(endpoint.requests[-1].body)
    return body


class TestApprise(MessageContract):
    @pytest.fixture
    def config(self, endpoint: FakeEndpoint) -> SinkConfig:
        return sink_config(endpoint)


# --- what is sent ---


async def test_a_message_as_people_see_it(endpoint: FakeEndpoint) -> None:
    body = await post(endpoint)
    assert body["title"] == "Rückfrage zur Rechnung"
    assert body["message"].startswith("eingehend · Support · 10.03.2026, 09:15 · 5:12 · +49 152 …386\n\n- Tarif")
    assert body["attachments"] == []


@pytest.mark.parametrize("length", [0, 1, 4, 8])
async def test_combinations_of_parts_of_every_hostile_call_are_taken(length: int, endpoint: FakeEndpoint) -> None:
    deliveries = list(hostile_deliveries())
    sent = 0
    for parts in list(combinations(Part, length))[:8]:
        async with sink_config(endpoint, send=[part.value for part in parts]).open(sink_context(Path())) as sink:
            for delivery in deliveries[sent % 5 :: 5]:
                await sink.deliver(delivery)
                sent += 1
    assert len(endpoint.requests) == sent > 0
    for request in endpoint.requests:
        body = json.loads(request.body)
        for text in (body["title"], body["message"]):
            assert not any(alive in text for alive in ("@here", "<!channel", "<@U", "](", "<&"))
        assert body["message"].strip()
        assert len(body["message"]) <= 32_768


@pytest.mark.parametrize(
    ("said", "sent"),
    [
        ("@everyone, <@U1> <!channel> <#C1> <@&5> <:x:1>", "@⁠everyone, <⁠@⁠U1> <⁠!channel> <⁠#C1> <⁠@&5> <⁠:x:1>"),
        ("[Rechnung](https://evil.example)", "[Rechnung]⁠(https://evil.example)"),
        ("anna@firma.de, 5 < 6 @ 3 :smile: \\n {{7*7}} ${x}", "anna@firma.de, 5 < 6 @ 3 :smile: \\n {{7*7}} ${x}"),
    ],
)
async def test_what_services_make_alive_is_held_together(said: str, sent: str, endpoint: FakeEndpoint) -> None:
    body = await post(endpoint, make_delivery(event=make_event(headline=said, summary=said)))
    assert body["title"] == sent
    assert sent in body["message"]


async def test_html_of_a_call_is_text_where_a_service_takes_html(endpoint: FakeEndpoint) -> None:
    event = make_event(headline="<b>x", summary="<script>alert(1)</script>")
    body = await post(endpoint, make_delivery(event=event), path="/?format=html")
    assert "<script" not in body["message"]
    assert "&lt;script&gt;" in body["message"]


async def test_a_long_message_is_cut_with_a_mark(endpoint: FakeEndpoint) -> None:
    body = await post(
        endpoint,
        make_delivery(event=make_event(note="<" * 60_000)),
        template="{{ title }}\n\n{{ event.note }}\n\n{{ event.note }}",
    )
    assert body["message"].endswith("…")
    body = await post(endpoint, template="# {{ title }}")
    assert body["message"] == body["title"] == "Rückfrage zur Rechnung"


@pytest.mark.parametrize(("longest_title", "title"), [(10, "Rückfrage…"), (0, "")])
async def test_the_limits_of_the_service_are_kept(
    longest_title: int, title: str, endpoint: FakeEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it knows no titles, Apprise puts them into the text."""
    from apprise.plugins.custom_json import NotifyJSON

    monkeypatch.setattr(NotifyJSON, "body_maxlen", 160)
    monkeypatch.setattr(NotifyJSON, "title_maxlen", longest_title)
    body = await post(endpoint, make_delivery(event=make_event(summary="wort " * 500)))
    assert body["title"] == title
    assert len(body["message"]) <= 160
    assert ("Rückfrage zur Rechnung" in body["message"]) is (not title)
    assert "…" in body["message"]


# --- what comes back ---


@pytest.mark.parametrize("status", [301, 400, 401, 404, 410, 429, 500, 503])
async def test_every_failure_is_tried_again(status: int, endpoint: FakeEndpoint) -> None:
    """Apprise does not say which it was. It follows no redirect."""
    headers = {"Location": endpoint.url("/elsewhere"), "Retry-After": "60"}
    endpoint.answer(Answer(status=status, headers=headers, body=b"BirneXY"))
    async with sink_config(endpoint).open(sink_context(Path())) as sink:
        with pytest.raises(Unavailable, match=r"^json:// did not take it; Apprise does not say why$") as caught:
            await sink.deliver(make_delivery())
    assert (caught.value.whole_lane, caught.value.retry_after) == (False, None)
    assert len(endpoint.requests) == 1


async def test_nothing_of_it_is_logged(
    endpoint: FakeEndpoint, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    endpoint.answer(Answer(status=500, body=b"BirneXY"), Answer())
    async with sink_config(endpoint).open(sink_context(Path())) as sink:
        with pytest.raises(Unavailable):
            await sink.deliver(make_delivery())
        await sink.deliver(make_delivery())
    assert [record for record in caplog.records if record.name.startswith(("apprise", "urllib3"))] == []
    assert capfd.readouterr() == ("", "")


async def test_what_hangs_keeps_its_own_threads_and_no_more(endpoint: FakeEndpoint) -> None:
    endpoint.answer(HANG)
    async with sink_config(endpoint, concurrency=2).open(sink_context(Path(), name="hangs")) as sink:
        tasks = [asyncio.create_task(sink.deliver(make_delivery(id=f"{n}"))) for n in range(6)]
        await endpoint.received(2)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert all(task.cancelled() for task in tasks)
        assert len(threads("apprise-hangs")) == 2
    await endpoint.stop()
    await eventually(lambda: not threads("apprise-hangs"))
    assert len(endpoint.requests) == 2


def threads(name: str) -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(name)]


# --- the configuration ---


def test_the_record_says_where_it_went() -> None:
    assert config("json://hunter2/x").recipient() == "json"
    assert str(config("json://hunter2/x").rate) == "1/s"


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"url": "hunter2"}, "is no URL of Apprise"),
        ({"url": "json://a hunter2"}, "is no URL of Apprise"),
        ({"url": "nonsense://hunter2"}, "does not know nonsense://"),
        ({"url": "slack://hunter2"}, "does not know slack://, or misses something behind it"),
        ({"url": "json://a,json://hunter2"}, "does not know json://"),
        ({"url": "json://hunter2", "concurrency": 33}, "less than or equal to 32"),
        ({"url": ["json://a", "json://hunter2"]}, "string"),
    ],
)
def test_settings_that_do_not_fit(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem) as caught:
        config(**settings)
    assert "hunter2" not in str(caught.value)


async def test_without_the_package_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    made = config("nonsense://x")
    advice = f"takes the package apprise; install it: {sys.executable} -m pip install 'apprise'"
    with pytest.raises(ConfigError, match=re.escape(advice)) as caught:
        async with made.open(sink_context(Path())):
            pass
    assert caught.value.at == ("kind",)
    with pytest.raises(ConfigError, match=re.escape(advice)) as caught:
        made.check(Path())
    assert caught.value.at == ("kind",)


def test_with_the_package_there_is_nothing_to_check(tmp_path: Path) -> None:
    assert config("json://example.com").check(tmp_path) is None


def test_check_says_at_which_line_the_package_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    file = tmp_path / "routes.yaml"
    file.write_text(
        "sources: {sipgate: {}}\nsinks:\n  boss: {kind: apprise, url: 'json://example.com'}\nalways: boss\n"
    )
    with pytest.raises(
        ConfigError, match=r"routes\.yaml:3:16: sinks\.boss\.kind: takes the package apprise; install it:"
    ):
        load(file, {})


async def test_a_url_that_the_package_does_not_know_is_found_when_it_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "apprise", None)
        made = config("nonsense://hunter2")
    with pytest.raises(ConfigError, match="nonsense://") as caught:
        async with made.open(sink_context(Path())):
            pass
    assert "hunter2" not in str(caught.value)


def test_the_sink_is_found_without_the_package() -> None:
    """It is imported only where it is used."""
    assert "apprise" not in vars(apprise)
