"""Tables of the metrics by group of test clips."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from ser_lightning.report.fairness import FEWEST_CLIPS, Fairness
from ser_lightning.report.tables import NOTHING, interval_text, p_text

MOST_ROWS = 30  # rows of an attribute in a table; report.json has all


def worst_table(fairness_by_arm: Mapping[str, Fairness], *, title: str = "arm") -> pd.DataFrame:
    """Tabulate the group with the lowest UAR of each attribute, of every arm.

    Args:
        fairness_by_arm: arm -> metrics by group
        title: head of the column of arms, which is left out with a single arm

    """
    rows = []
    for arm, (groups, comparisons) in fairness_by_arm.items():
        for attribute, members in groups.groupby("attribute", sort=False) if len(groups) else ():
            large = members[members.clips >= FEWEST_CLIPS]
            if large.empty:
                continue
            worst, tests = large.iloc[0], comparisons[comparisons.attribute == attribute]
            own_test = tests[tests.group == worst.group]  # speakers have one test together, and two groups too
            test = (own_test if len(own_test) else tests).iloc[0]
            rows.append(
                ({title: arm} if len(fairness_by_arm) > 1 else {})
                | {"by": attribute, "worst group": worst.group, **_metrics(worst)}
                | {"highest UAR (%)": f"{large.uar.max():.1f} ({large.iloc[-1].group})", **_test(test)}
            )
    return pd.DataFrame(rows)


def groups_table(fairness: Fairness) -> pd.DataFrame:
    """Tabulate all groups with their intervals, the 30 with the lowest UAR where an attribute has more."""
    if fairness.groups.empty:
        return fairness.groups
    rows = fairness.groups.groupby("attribute", sort=False).head(MOST_ROWS)
    return pd.DataFrame(
        [
            {"by": row.attribute, "group": row.group, "speakers": _count(row.speakers), "clips": str(row.clips)}
            | {"accuracy (%)": f"{row.accuracy:.1f}", **_metrics(row)}
            for _, row in rows.iterrows()
        ]
    )


def comparisons_table(fairness: Fairness) -> pd.DataFrame:
    """Tabulate the tests of the differences between groups."""
    return pd.DataFrame(
        [
            {
                "by": row.attribute,
                "compared": f"{row.group} - {row.others}" if row.others else "all speakers",
                **_test(row),
            }
            for _, row in fairness.comparisons.iterrows()
        ]
    )


def _metrics(row: Any) -> dict[str, str]:
    return {"UAR (%)": f"{row.uar:.1f}", "95 %": interval_text(row.low, row.high), "over": row.unit}


def _test(row: Any) -> dict[str, str]:
    """Return the cells of a test; the largest difference between two speakers is not a difference from the others."""
    known = row.others and not pd.isna(row.difference)
    return {
        "difference (points)": f"{row.difference:+z.1f}" if known else NOTHING,
        "p": row.why or p_text(row.p),
        "p (Holm)": p_text(row.p_holm),
        "units": f"{row.n} {row.unit}",
    }


def _count(number: Any) -> str:
    return NOTHING if pd.isna(number) else str(number)
