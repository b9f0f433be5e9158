"""The status of a result: its words, mark, colours and order, which stand here alone."""

from enum import StrEnum

__all__ = ["Status"]


class Status(StrEnum):
    """Status of one result or check, the worst first; its value is the string in files.

    Attributes
    ----------
    word : str
        For one result.
    phrase : str
        For several results, after their number.
    mark : str
        One character.
    style : dict
        Of `click.style`; the words are told apart without colours, too.
    junit : str or None
        Element of JUnit XML.

    Examples
    --------
    >>> Status("fail").word, str(Status.FAIL), Status.worst(["ok", "fail"])
    ('FAILS', 'fail', <Status.FAIL: 'fail'>)
    """

    # The method did not get that far.
    ERROR = "error", "ERROR", "end in an error", "‼", {"fg": "red", "bold": True}, "error"
    # Accuracy is lost.
    FAIL = "fail", "FAILS", "fail", "✗", {"fg": "red", "bold": True}, "failure"
    # Fails by as much as is calculated, for a stated reason.
    KNOWN = "known", "known failure", "fail as calculated", "○", {"fg": "yellow"}, "skipped"
    # Within its criterion.
    OK = "ok", "holds", "hold", "✓", {"fg": "green"}
    # Worth knowing, and breaks no promise of the contract of methods.
    NOTE = "note", "note", "are notes", "·"
    # No criterion.
    INFO = "info", "no criterion", "have no criterion", "·"

    def __new__(cls, value, word, phrase, mark, style=None, junit=None):
        status = str.__new__(cls, value)
        status._value_ = value
        status.word, status.phrase, status.mark = word, phrase, mark
        status.style, status.junit = style or {}, junit
        return status

    @classmethod
    def worst(cls, statuses):
        """The status that stands for several; `INFO` for none."""
        return min(map(cls, statuses), key=list(cls).index, default=cls.INFO)

    @property
    def fails(self):
        """Whether a criterion fails, if only as is calculated."""
        return self in (Status.ERROR, Status.FAIL, Status.KNOWN)

    def cell(self, number):
        """The word in a table, where ``number`` results have this worst status."""
        return f"{self.word} ({number})" if self in (Status.FAIL, Status.KNOWN) else self.word
