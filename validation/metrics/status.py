"""The status of a result, with its words, mark and colour."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, Self

__all__ = ["Status"]


class Status(StrEnum):
    """Status of a result or check, the worst first; its value is the string in files.

    Attributes
    ----------
    word : str
        Description of one result.
    phrase : str
        Description of several results, which follows their number.
    mark : str
        One character.
    style : dict
        Arguments of `click.style`. The words differ as well, for output without colours.
    junit : str or None
        Element of JUnit XML.

    Examples
    --------
    >>> Status("fail").word, str(Status.FAIL), Status.worst(["ok", "fail"])
    ('FAILS', 'fail', <Status.FAIL: 'fail'>)
    """

    # There is no result, because of an error.
    ERROR = "error", "ERROR", "end in an error", "‼", {"fg": "red", "bold": True}, "error"
    # A criterion is not met.
    FAIL = "fail", "FAILS", "fail", "✗", {"fg": "red", "bold": True}, "failure"
    # Fails by the calculated amount, for a stated reason.
    KNOWN = "known", "known failure", "fail as calculated", "○", {"fg": "yellow"}, "skipped"
    # No criterion fails, but a user loses something.
    WARNING = "warning", "warning", "have a warning", "!", {"fg": "yellow"}
    # The replicates do not suffice for an answer.
    UNDECIDED = "undecided", "undecided", "are undecided", "?", {"fg": "yellow"}, "skipped"
    # The criterion is met.
    OK = "ok", "holds", "hold", "✓", {"fg": "green"}
    # Information on a method that keeps the contract of methods.
    NOTE = "note", "note", "give information", "·"
    # There is no criterion.
    INFO = "info", "no criterion", "have no criterion", "·"

    word: str
    phrase: str
    mark: str
    style: dict[str, Any]
    junit: str | None

    def __new__(
        cls,
        value: str,
        word: str = "",
        phrase: str = "",
        mark: str = "",
        style: dict[str, Any] | None = None,
        junit: str | None = None,
    ) -> Self:
        status = str.__new__(cls, value)
        status._value_ = value
        status.word, status.phrase, status.mark = word, phrase, mark
        status.style, status.junit = style or {}, junit
        return status

    @classmethod
    def worst(cls, statuses: Iterable[str]) -> Self:
        """The worst of several statuses; `INFO` if there are none.

        Parameters
        ----------
        statuses : iterable of Status or str
            In any order.

        Returns
        -------
        status : Status
            The worst one.
        """
        return min(map(cls, statuses), key=list(cls).index, default=cls.INFO)

    @classmethod
    def marks(cls, statuses: Iterable[str]) -> str:
        """The mark of the worst of several statuses, and "?" if another one is undecided.

        Parameters
        ----------
        statuses : iterable of Status or str
            In any order.
        """
        found = set(map(cls, statuses))
        worst = cls.worst(found)
        hidden = cls.UNDECIDED in found and worst in (cls.KNOWN, cls.WARNING)
        return worst.mark + cls.UNDECIDED.mark * hidden

    def counted(self, number: int) -> str:
        """A number of results and their phrase, for example "1 holds" and "2 hold".

        Parameters
        ----------
        number : int
            Number of results.
        """
        verb, *rest = self.phrase.split(" ")
        if number == 1:
            verb = {"are": "is", "have": "has"}.get(verb, f"{verb}s")
        return " ".join([str(number), verb, *rest])

    @property
    def fails(self) -> bool:
        """Whether a criterion is not met, also if this is a known failure."""
        return self in (Status.ERROR, Status.FAIL, Status.KNOWN)

    def cell(self, number: int) -> str:
        """The word in a table, where ``number`` results have this worst status.

        Parameters
        ----------
        number : int
            Number of results, which is shown for failures.

        Returns
        -------
        text : str
            The word, with the number where it is shown.
        """
        return f"{self.word} ({number})" if self in (Status.FAIL, Status.KNOWN) else self.word
