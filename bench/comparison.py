"""Pairs of measurements in alternation, and what follows from them. On a machine that
others use too, single figures say little; a ratio of two that were taken within
seconds of each other does. So a comparison is the median of the pairs' ratios, with
quartiles as its spread. Used by bench/run."""

import dataclasses
import statistics


@dataclasses.dataclass
class Comparison:
    """One line of the table: tfd beside a peer, in pairs.

    `kind` is "us" (less is better), "images/s" or "records/s" (more is better). A ratio
    is how many times as good tfd is, whichever the kind."""

    benchmark: str
    what: str
    kind: str
    target: float
    pairs: list = dataclasses.field(default_factory=list)

    def ratios(self):
        if self.kind == "us":
            return [peer / tfd for tfd, peer in self.pairs]
        return [tfd / peer for tfd, peer in self.pairs]

    def summary(self):
        low, middle, high = quartiles(self.ratios())
        return {
            "benchmark": self.benchmark,
            "what": self.what,
            "unit": self.kind,
            "tfd": statistics.median(tfd for tfd, _ in self.pairs),
            "peer": statistics.median(peer for _, peer in self.pairs),
            "ratio": round(middle, 3),
            "ratio_quartiles": [round(low, 3), round(high, 3)],
            "target": self.target,
            "met": middle >= self.target,
            "pairs": self.pairs,
        }


def quartiles(values):
    """Lower quartile, median and upper quartile, interpolated; of one value, that."""
    values = sorted(values)
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def size_text(size_bytes):
    for unit, factor in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size_bytes >= factor and size_bytes % factor == 0:
            return f"{size_bytes // factor} {unit}"
    return f"{size_bytes} B"


def value_text(value, kind):
    if kind != "us":
        return f"{value:,.0f}"
    return f"{value:,.0f} µs" if value >= 100 else f"{value:.1f} µs"


def table(summaries):
    """Lines of at most 100 columns."""
    rows = [("what", "tfd", "peer", "tfd is … times as good", "target", "")]
    for one in summaries:
        low, high = one["ratio_quartiles"]
        rows.append(
            (
                one["what"],
                value_text(one["tfd"], one["unit"]),
                value_text(one["peer"], one["unit"]),
                f"{one['ratio']:.2f} ({low:.2f}-{high:.2f})",
                f"{one['target']:g}",
                "met" if one["met"] else "missed",
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    return [
        (
            f"{row[0]:<{widths[0]}}  "
            + "  ".join(f"{row[i]:>{widths[i]}}" for i in range(1, 5))
            + f"  {row[5]}"
        ).rstrip()
        for row in rows
    ]
