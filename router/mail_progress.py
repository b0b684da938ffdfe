"""How far a mail to several has come: who has it, who may get it later, who never will. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from router.errors import Rejected, Unavailable
from router.smtp_answers import SmtpAnswer
from router.smtp_url import MailServer


@dataclass(frozen=True, slots=True)
class MailProgress:
    """How far a call has come: who has it, and what the others were answered."""

    served: frozenset[str] = frozenset()
    refused: Mapping[str, SmtpAnswer] = field(default_factory=dict)

    def missing(self, everyone: Iterable[str]) -> list[str]:
        """Who is to be asked: neither has it, nor was refused for good."""
        return [one for one in everyone if one not in self.served and not self._is_lost(one)]

    def _is_lost(self, one: str) -> bool:
        return one in self.refused and self.refused[one].for_good

    def after(self, asked: Iterable[str], refused: Mapping[str, SmtpAnswer]) -> MailProgress:
        """Once these were asked."""
        served = self.served | (set(asked) - refused.keys())
        return MailProgress(served, {one: why for one, why in {**self.refused, **refused}.items() if one not in served})

    def problem(self, server: MailServer, everyone: Sequence[str]) -> Unavailable | Rejected | None:
        """What is wrong, in the order of `everyone`. Recipients are called by their place: no log holds addresses."""
        refused = [(place, self.refused[one]) for place, one in enumerate(everyone, 1) if one in self.refused]
        reason = "; ".join(f"recipient {place} of {len(everyone)}: {why}" for place, why in refused)
        if not refused:
            return None
        if not all(why.for_good for _, why in refused):
            return Unavailable(f"{server} does not take it for everybody yet: {reason}")
        if len(refused) == len(everyone):
            return Rejected(f"{server} takes it for nobody: {reason}")
        have = f"{len(everyone) - len(refused)} of {len(everyone)} have it"
        return Rejected(f"{have}; {reason}; mend that, then replay: it goes to who lacks it")

    def kept(self, problem: Unavailable | Rejected | None) -> MailProgress:
        """What is worth remembering. Who was refused for good is asked again by a replay, and not by another attempt."""
        match problem:
            case None:
                return MailProgress()
            case Unavailable():
                return self
            case Rejected():
                return MailProgress(self.served)
