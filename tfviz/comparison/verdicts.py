"""Verdicts on methods, by a rule that the report states."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfviz._errors import count_of
from tfviz.comparison.kinship import CAVEATS
from tfviz.comparison.summary import Interval, Rows, interval, means, paired

# Pictures that keep less than this share of their lead over photos under transforms
# are reported.
FRAGILE = 0.5

RULE = (
    "The pictures of a method are specific to their units if each does better for its "
    "unit than the method's pictures of other units of the same group do: the unit "
    "must respond more to its own (the interval of `gain` lies above 0), and in the "
    "features of each judge its own must tell better which of two photos the unit "
    "responds to more (the interval of `specificity` lies above 0 for the least "
    "favourable judge). Classes are one group; other units are grouped by depth. They "
    "are near photos if the interval of their distance to the nearest photo "
    "(`nearest_ratio`) lies below the threshold of each judge, and far from photos if "
    "it lies above that of a judge; otherwise this is not decided. A judge's threshold "
    "is midway between its distance of photos and the lowest of its distances of grey "
    "pictures, white noise and blurred photos. A judge that does not put all of these "
    "distinctly further away than photos has no threshold and is not asked. Beside the "
    "verdict stands whether a control on random weights is as near to photos (the "
    "interval of the difference does not lie above 0), and whether transforms under "
    f"which no method is optimized leave less than {FRAGILE:g} of a picture's lead "
    "over photos, in the median over units (`robustness`). Intervals are bootstrapped "
    "over units, at 95 %."
)
# By whether pictures are specific to their units, and how far they are from photos.
_SPECIFIC = {
    True: "pictures specific to their units",
    False: "pictures not shown to be specific to their units",
}
_NEARNESS = {
    "near": "near photos",
    "far": "far from photos",
    "undecided": "not decided whether near photos",
    "untested": "not tested whether near photos, as no judge has a threshold",
}


def verdicts(
    rows: Rows,
    methods: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    units: Sequence[str],
    references: Sequence[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Return the verdict of `RULE` on each method, with its reasons.

    Args:
        rows: The rows of all methods.
        methods: The methods, with their `name`, `kind`, `of`, `kinship` and
            `related_judges`.
        names: The names of the measures.
        units: The names of the units.
        references: The references and the threshold of each judge, as
            `measure_references` returns them.
    """
    table = []
    for method in methods:
        if method["kind"] != "method":
            continue
        verdict, reasons = _decide(rows, method["name"], names, units, references)
        judges = [reference["measure"] for reference in references]
        reasons += _control_warnings(rows, methods, method["name"], judges, units)
        if method["kinship"] in CAVEATS:
            reasons.append(CAVEATS[method["kinship"]])
        reasons += [
            f"Judge {judge} is a network that the prior was trained with, so what it "
            "recognizes may be what the prior learned of it."
            for judge in method["related_judges"]
        ]
        table.append({"method": method["name"], "verdict": verdict, "because": reasons})
    return table


def _decide(
    rows: Rows,
    method: str,
    names: Sequence[str],
    units: Sequence[str],
    references: Sequence[Mapping[str, Any]],
) -> tuple[str, list[str]]:
    """Return the verdict on a method, and sentences with the numbers behind it."""
    if not any(row["method"] == method and not row.get("error") for row in rows):
        errors = dict.fromkeys(r["error"] for r in rows if r["method"] == method)
        return "no verdict: it has no pictures", [f"It failed: {e}" for e in errors]
    gain = interval(means(rows, method, "gain", units))
    robustness = interval(means(rows, method, "robustness", units), statistic="median")
    judge, specificity = _least_favourable(rows, method, names, units)
    nearness, distances = _compare_with_references(rows, method, units, references)
    reasons = []
    if gain.units:
        reasons.append(
            "Units respond to their own pictures by "
            f"{_format(gain, signed=True)} times what the best photo has more than to "
            "the method's pictures of other units."
        )
    if not references:
        verdict = "no verdict: no judge has features"
    elif not gain.units or not specificity.units:
        verdict = "no verdict: there are no pictures of other units to compare with"
    elif np.isnan(gain.low) or np.isnan(specificity.low):
        count = min(gain.units, specificity.units)
        verb = "is" if count == 1 else "are"
        verdict = (
            f"no verdict: {count_of(count, 'unit')} {verb} too few for an interval"
        )
    else:
        specific = gain.low > 0 and specificity.low > 0
        verdict = f"{_SPECIFIC[bool(specific)]}, {_NEARNESS[nearness]}"
    if specificity.units:
        reasons.append(
            f"In the features of {judge}, they tell which of two photos the unit "
            f"responds to more in {_format(specificity, 100, signed=True)} more cases "
            "of a hundred than the method's pictures of other units."
        )
    reasons += distances
    if robustness.value < FRAGILE:
        reasons.append(
            "Other transforms than those they were made under leave "
            f"{_format(robustness, 100)} % of their lead over photos in the median."
        )
    return verdict, reasons


def _least_favourable(
    rows: Rows, method: str, names: Sequence[str], units: Sequence[str]
) -> tuple[str, Interval]:
    """Return the judge by which a method's pictures are least specific, and its say."""
    prefix = "specificity@"
    by_judge = {
        name.removeprefix(prefix): interval(means(rows, method, name, units))
        for name in names
        if name.startswith(prefix)
    }
    by_judge = {judge: result for judge, result in by_judge.items() if result.units}
    if not by_judge:
        return "", interval([])
    return min(by_judge.items(), key=lambda item: _lower_end(item[1]))


def _compare_with_references(
    rows: Rows,
    method: str,
    units: Sequence[str],
    references: Sequence[Mapping[str, Any]],
) -> tuple[str, list[str]]:
    """Return whether pictures are near photos, and a sentence for each judge.

    Returns:
        A key of `_NEARNESS`, and the sentences.
    """
    votes, reasons = set(), []
    for reference in references:
        measure, threshold = reference["measure"], reference["threshold"]
        distance = interval(means(rows, method, measure, units))
        if not distance.units:
            continue
        text = (
            f"Judged by {measure.partition('@')[2]}, they are {_format(distance)} "
            "times as far from the nearest photo as photos are; "
        )
        if threshold is None:
            reasons.append(
                f"{text}this judge has no threshold, as it does not put grey pictures, "
                "noise and blurred photos distinctly further than photos."
            )
            continue
        reasons.append(f"{text}its threshold is {threshold:.3g}.")
        if distance.high < threshold:
            votes.add("near")
        elif distance.low > threshold:
            votes.add("far")
        else:
            votes.add("undecided")
    order = ("far", "undecided", "near")
    return next((vote for vote in order if vote in votes), "untested"), reasons


def _control_warnings(
    rows: Rows,
    methods: Sequence[Mapping[str, Any]],
    name: str,
    judges: Sequence[str],
    units: Sequence[str],
) -> list[str]:
    """Warn of controls that are not distinctly further from photos than the method.

    Args:
        rows: The rows of all methods.
        methods: The methods.
        name: The name of the method.
        judges: The distance from photos by each judge.
        units: The names of the units.
    """
    warnings = []
    for control in methods:
        if control["kind"] != "control" or control["of"] != name:
            continue
        as_near = []
        for measure in judges:
            of_method = means(rows, name, measure, units)
            of_control = means(rows, control["name"], measure, units)
            if paired(of_control, of_method).low <= 0:
                both = ~np.isnan(of_control - of_method)
                as_near.append(
                    f"{of_control[both].mean():.2f} against "
                    f"{of_method[both].mean():.2f} by {measure.partition('@')[2]}"
                )
        if as_near:
            warnings.append(
                f"The control {control['name']!r} is not distinctly further from "
                f"photos ({', '.join(as_near)}): that the pictures look like photos is "
                "no sign of what the network knows."
            )
    return warnings


def _lower_end(result: Interval) -> float:
    """Return the lower end of an interval, or its value if it has no ends."""
    return result.value if np.isnan(result.low) else result.low


def _format(result: Interval, factor: float = 1.0, *, signed: bool = False) -> str:
    """Return a value with its interval as text, such as `0.5 (0.4 to 0.6)`."""
    form = "+.3g" if signed else ".3g"
    value = f"{result.value * factor:{form}}"
    if np.isnan(result.low):
        return value
    return f"{value} ({result.low * factor:{form}} to {result.high * factor:{form}})"
