from __future__ import annotations

from router import MailProgress, MailServer, Rejected, SmtpAnswer, Tls, Unavailable

SERVER = MailServer("mail.example", 25, Tls.NONE)
GONE, BUSY = SmtpAnswer(550, "5.1.1"), SmtpAnswer(450)


def test_who_has_it_or_was_refused_for_good_is_not_asked() -> None:
    begun = MailProgress().after("abc", {"b": BUSY, "c": GONE})
    assert begun.missing("abcd") == ["b", "d"]
    done = begun.after("bd", {})
    assert (done.served, done.refused, done.missing("abcd")) == (frozenset("abd"), {"c": GONE}, [])


def test_what_is_kept_and_said() -> None:
    begun = MailProgress().after("abc", {"b": BUSY, "c": GONE})
    problem = begun.problem(SERVER, "abc")
    assert isinstance(problem, Unavailable)
    assert "recipient 2 of 3: 450" in str(problem)
    assert begun.kept(problem) == begun
    ended = begun.after("b", {})
    problem = ended.problem(SERVER, "abc")
    assert isinstance(problem, Rejected)
    assert str(problem).startswith("2 of 3 have it; recipient 3 of 3: 550 5.1.1 (no such mailbox)")
    assert ended.kept(problem) == MailProgress(frozenset("ab"))
    assert ended.problem(SERVER, "ab") is None
    assert ended.kept(None) == MailProgress()
    assert str(ended.problem(SERVER, "c")).startswith("mail.example:25 takes it for nobody: recipient 1 of 1: 550")
