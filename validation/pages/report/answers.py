"""A word for each question about a method in a scenario, for the matrix of the report."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from simbg.validation.metrics.status import Status
from simbg.validation.suite.results import Result

__all__ = []

# Question → heading of its column.
QUESTIONS = {
    "bias": "bias",
    "noise": "accuracy",
    "honesty": "stated errors",
    "arrival": "counts in gammapy",
    "runs": "single runs",
}
WORDS = {
    "bias": {
        Status.OK: "unbiased",
        Status.FAIL: "biased",
        Status.KNOWN: "biased, as calculated",
    },
    "honesty": {Status.OK: "honest", Status.INFO: "none"},
    "arrival": {
        Status.OK: "agrees",
        Status.FAIL: "differs",
        Status.KNOWN: "differs, as known",
        Status.WARNING: "wrong counts",
        Status.INFO: "not judged",
    },
    "runs": {Status.OK: "agree", Status.FAIL: "differ", Status.KNOWN: "differ, as known"},
}
# Words that follow a comma in the matrix, or are a word of their own, and what they mean.
MEANINGS = {
    "as planned": "the scenario hides an effect from every method, such as a source that is not "
    "masked; counts without noise have the same bias",
    "as calculated": "the method has a fault, which its section states; counts without noise have "
    "the same bias",
    "as known": "the method differs for a reason that its section states",
    "wrong counts": "an analysis with gammapy predicts too few counts, or too many, at some "
    "energies: gammapy interpolates logarithms of rates where bins are empty or noisy",
    "undecided": "neither can be said; more data sets would decide",
    "not judged": "the scenario hides an effect from every method, and the method is not linear in "
    "the counts, so that the bias of the effect cannot be calculated",
}
# Metrics whose value has no sign: the limit is the largest accepted value.
UNSIGNED = {"bias", "flux", "noise", "same_cube"}
# With more noise than this, relative to raw counts, the noise is called that of raw counts.
LESS_NOISE = 0.9


@dataclass(frozen=True)
class Answer:
    """The answer to one question.

    Parameters
    ----------
    status : Status
        Its status.
    word : str
        The answer in a word or two.
    text : str
        The answer with its numbers.
    """

    status: Status
    word: str
    text: str


def answers_of(results: Iterable[Result]) -> dict[str, Answer]:
    """The answers of one method in one scenario.

    Parameters
    ----------
    results : iterable of Result
        Its results.

    Returns
    -------
    answers : dict of str to Answer
        Question of `QUESTIONS` → answer; without questions that were not asked.
    """
    found = {result.metric: result for result in results}
    answers = {name: _answer(name, found[name], found) for name in QUESTIONS if name in found}
    runs = [found[name] for name in ("run_norms", "run_spectra") if name in found]
    if runs:
        worst = min(runs, key=lambda result: list(Status).index(Status(result.status)))
        answers["runs"] = _answer("runs", worst, found)
    return answers


def meanings_of(several: Iterable[Mapping[str, Answer]]) -> dict[str, str]:
    """The words of some answers that need an explanation, and what they mean.

    Parameters
    ----------
    several : iterable of mapping
        From `answers_of`.
    """
    words = [answer.word for answers in several for answer in answers.values()]
    return {key: text for key, text in MEANINGS.items() if any(key in word for word in words)}


def allowed_values(result: Result) -> str:
    """The values that meet the criterion of a result; empty without a criterion.

    Parameters
    ----------
    result : Result
        With its limit.
    """
    if not math.isfinite(result.limit):
        return ""
    unit = f" {result.unit}" if result.unit else ""
    if result.metric == "honesty":
        ends = (result.ideal - result.limit, result.ideal + result.limit)
        return f"≥ {ends[0]:.4g} × scatter, ≤ {ends[1]:.4g} × distance"
    if result.metric in UNSIGNED:
        return f"≤ {result.limit:.4g}{unit}"
    ends = (result.ideal - result.limit, result.ideal + result.limit)
    return " to ".join(f"{end:.4g}" for end in ends).replace("-", "−") + unit


def criteria_text(counts: Mapping[Status, int]) -> str:
    """How many criteria hold, fail or have a warning, in words.

    Parameters
    ----------
    counts : mapping of Status to int
        Number of results.
    """
    tested = {s: counts[s] for s in Status if counts[s] and s not in (Status.INFO, Status.NOTE)}
    number = sum(tested.values())
    if set(tested) == {Status.OK}:
        return f"all {number} criteria hold" if number > 1 else "the criterion holds"
    if not tested:
        return "no criterion"
    return "criteria: " + ", ".join(status.counted(number) for status, number in tested.items())


def _answer(question: str, result: Result, found: Mapping[str, Result]) -> Answer:
    status = Status(result.status)
    if question == "noise":
        return _accuracy(result, found.get("bias"), found.get("accuracy"))
    if question == "bias" and result.ignored:
        # No method can be unbiased where the scenario hides an effect.
        word = "biased, as planned" if status is Status.KNOWN else "not judged"
    elif question == "honesty" and status in (Status.FAIL, Status.KNOWN):
        word = "too small" if result.value < 1 else "too large"
    else:
        word = WORDS[question].get(status, status.word)
    return Answer(status, word, result.reason)


def _accuracy(noise, bias, accuracy):
    """The rms error of the rate, and whether it is better than that of raw counts."""
    status = Status(noise.status)
    size = f"{accuracy.value:.2g} %" if accuracy and math.isfinite(accuracy.value) else ""
    if status is Status.FAIL:
        word = "noisier than promised" if noise.limit < 1 else "noisier than raw counts"
    elif bias and (bias.ignored or Status(bias.status).fails):
        # The error of the rate is the bias, whatever the noise is.
        return Answer(Status.INFO, size or status.word, noise.reason)
    else:
        # A size, and no quality: the noise of raw counts meets the requirement.
        status = Status.INFO if status is Status.OK else status
        words = [size] * bool(size) + ["as raw counts"] * (noise.value >= LESS_NOISE)
        return Answer(status, ", ".join(words) or "less noise than raw counts", noise.reason)
    return Answer(status, f"{word}, {size}" if size else word, noise.reason)
