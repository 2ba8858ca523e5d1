"""``make dropout``: does dropout help, in the study's own setup, with its bugs fixed, and for unseen speakers?

Runs three sweeps with a report each. Finished runs are skipped on a rerun. The page is made from compact copies of the
runs that can be committed with it, so that anybody can rebuild it without training.
"""

from collections.abc import Sequence

from studies.sweeps import Sweep, SweepStudy

SWEEPS = (
    Sweep(
        name="released",
        question="The study's own experiment with all its bugs, on its own split",
        arm="dropout",
        arms=("none", "p25"),
        seeds=20,
        overrides=("experiment=[released,ablation_dropout]",),
    ),
    Sweep(
        name="corrected",
        question="All known bugs fixed, on the same split, with more and less dropout",
        arm="dropout",
        arms=("none", "p10", "p25", "p50"),
        seeds=10,
        overrides=("experiment=[corrected,ablation_dropout]",),
    ),
    Sweep(
        name="speakers",
        question="All known bugs fixed, tested on unseen speakers: six folds of all clips",
        arm="dropout",
        arms=("none", "p25"),
        seeds=3,
        overrides=("experiment=[corrected,ablation_dropout]", "split=speaker"),
        folds=6,
    ),
)
DROPOUT = SweepStudy(
    name="dropout",
    title="Does dropout help?",
    introduction="The study compared one run with dropout (0.25) and one without, and drew its conclusion from a "
    "difference of 3 clips of 360. Here are the same question and two better ones, each with its own sweep. Arms are "
    "paired by seed, and by fold where there are folds. The rules of `ser-report` decide what is claimed.",
    sweeps=SWEEPS,
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the sweeps that are not finished and write the page."""
    DROPOUT.main(
        arguments,
        description="Ask whether dropout helps, in three sweeps; write dropout.md. Finished runs are skipped on a "
        "rerun.",
    )


if __name__ == "__main__":
    main()
