"""Results of a suite that are there already: two scenarios, three methods, each status."""

from simbg.validation.suite.results import Result

__all__ = ["RESULTS"]


def result(scenario, method, status, **more):
    return Result(scenario, "d", method, "norm", status=status, **more)


RESULTS = [
    result("one", "histogram", "ok"),
    result("one", "histogram", "info"),
    result("one", "default", "known", reason="smooth"),
    result("one", "default", "ok"),
    result("two <b>", "histogram", "fail"),
    result("two <b>", "histogram", "fail"),
    result("two <b>", "histogram", "known"),
    result("two <b>", "mine", "error", reason="no"),
]
