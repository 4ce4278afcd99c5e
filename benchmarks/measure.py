"""Short measurements in turn, A B, B A, ..., so that a machine whose speed drifts slows both sides of a ratio alike."""

from __future__ import annotations

import statistics

from typing import TYPE_CHECKING

import attrs


if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@attrs.frozen
class Subject:
    """Something whose CPU is measured: `measure` answers microseconds per `unit`, averaged over a short slice."""

    name: str
    unit: str
    measure: Callable[[], float] = attrs.field(repr=False, eq=False)


@attrs.frozen(kw_only=True)
class Comparison:
    """What `subject` costs, as a multiple of what all of `against` cost together.

    `bar` is the ratio that it is to stay within; None where there is nothing to reach.
    """

    name: str
    subject: Subject
    against: tuple[Subject, ...]
    bar: float | None = None

    def reached(self, ratio: float) -> bool | None:
        """Whether *ratio* keeps the bar; None where there is none."""
        return None if self.bar is None else ratio <= self.bar


def bar_text(bar: str, *, reached: bool) -> str:
    """What a table says beside a figure that has a *bar*, such as `<= 2.3`."""
    return f"{bar}  {'reached' if reached else 'MISSED'}"


@attrs.frozen
class Spread:
    """The middle of some samples, and between what the middle half of them lies."""

    median: float
    lower: float
    upper: float

    @classmethod
    def of(cls, samples: Sequence[float]) -> Spread:
        """The median and the quartiles of *samples*, of which there must be two or more."""
        lower, median, upper = statistics.quantiles(samples, n=4, method="inclusive")
        return cls(median, lower, upper)


@attrs.frozen
class Outcome:
    """All samples of a run, in the order in which they were taken: by subject, and the pair ratios by comparison."""

    costs: dict[Subject, list[float]]
    ratios: dict[str, list[float]]


def run(comparisons: Sequence[Comparison], rounds: int, progress: Callable[[int], None]) -> Outcome:
    """Measure every comparison once in each round; *progress* hears the number of each round that begins."""
    costs: dict[Subject, list[float]] = {}
    ratios: dict[str, list[float]] = {comparison.name: [] for comparison in comparisons}
    for number in range(rounds):
        progress(number)
        for comparison in comparisons:
            subjects = [comparison.subject, *comparison.against]
            if number % 2:
                subjects.reverse()
            now = {subject: subject.measure() for subject in subjects}
            for subject, cost in now.items():
                costs.setdefault(subject, []).append(cost)
            base = sum(now[subject] for subject in comparison.against)
            ratios[comparison.name].append(now[comparison.subject] / base)
    return Outcome(costs, ratios)
