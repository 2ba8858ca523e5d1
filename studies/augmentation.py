"""``make augmentation``: which data augmentation helps, and does balancing the emotions help?

Based on the experiment ``corrected``, without the study's bugs. Compares all options of ``augment``, balanced sampling
of the emotions, and class weights; a fourth sweep, run only on request, repeats the augmentations on unseen speakers.
Finished runs are skipped on a rerun. The page is made from compact copies of the runs that can be committed with it.

``augment=daarip`` is not included: with forty images per clip, its epochs have ten times the clips of any other option,
and the images are meant for an image network.
"""

from collections.abc import Sequence

from studies.sweeps import Inquiry, Sweep

AUGMENTS = ("none", "paper", "kaggle", "speed", "gain", "snr", "spec_augment", "mixup")
RUN_ID = "run_id=augment-${hydra:runtime.choices.augment}/"
SWEEPS = (
    Sweep(
        name="augment",
        question="Each augmentation against none",
        arm="augment",
        arms=AUGMENTS,
        seeds=10,
        overrides=("experiment=corrected", RUN_ID + "seed-${seed}"),
    ),
    Sweep(
        name="balance",
        question="Training clips drawn equally often by emotion, against each drawn once",
        arm="data.balance",
        arms=("none", "classes"),
        seeds=10,
        overrides=("experiment=corrected", "run_id=balance-${data.balance}/seed-${seed}"),
    ),
    Sweep(
        name="class_weights",
        question="Training clips weighted inversely to how many there are of their emotion, against all alike",
        arm="loss.class_weights",
        arms=("false", "true"),
        seeds=10,
        overrides=("experiment=corrected", "run_id=class_weights-${loss.class_weights}/seed-${seed}"),
    ),
    Sweep(
        name="speakers",
        question="Each augmentation against none, tested on speakers who were never heard: six folds of all clips",
        arm="augment",
        arms=AUGMENTS,
        seeds=5,
        overrides=("experiment=corrected", "split=speaker", RUN_ID + "fold-${split.fold}/seed-${seed}"),
        folds=6,
        asked=True,
    ),
)
AUGMENTATION = Inquiry(
    name="augmentation",
    title="Which augmentation helps?",
    introduction="Every defect of the study is mended; arms are paired by seed, and by fold where there are folds. All "
    "train for as many epochs, but an epoch with copies has more clips, and so more steps: `paper` and `kaggle` four "
    "times, `speed`, `gain` and `snr` three times those of `none`, `spec_augment` and `mixup`. What an arm gains may "
    "be what more steps gain. Values are those of `conf/augment/`, not tuned. What is claimed and what is not is "
    "decided by the rules of `ser-report`. `paper` of `augment`, `none` of `balance` and `false` of "
    "`class_weights` are one config: runs of a seed on one processor are equal, so that two questions share a "
    "baseline, and on another its rounding alone moves a run by some points.",
    sweeps=SWEEPS,
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the sweeps that are not finished and write the page."""
    AUGMENTATION.main(
        arguments,
        description="Ask which augmentation helps, and whether balance does; write augmentation.md. Started again, it "
        "goes on where it was.",
    )


if __name__ == "__main__":
    main()
