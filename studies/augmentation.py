"""``make augmentation``: which data augmentation helps, and does balancing the emotions help?

Based on the experiment ``corrected``, without the study's bugs. Compares all options of ``augment``, balanced sampling
of the emotions, and class weights; a fourth sweep, run only on request, repeats the augmentations on unseen speakers.
Finished runs are skipped on a rerun. The page is made from compact copies of the runs that can be committed with it.

``augment=daarip`` is not included: with forty images per clip, its epochs have ten times the clips of any other option,
and the images are meant for an image network.
"""

from collections.abc import Sequence

from studies.sweeps import Sweep, SweepStudy

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
        question="Clips of every emotion drawn equally often, against each clip drawn once",
        arm="data.balance",
        arms=("none", "classes"),
        seeds=10,
        overrides=("experiment=corrected", "run_id=balance-${data.balance}/seed-${seed}"),
    ),
    Sweep(
        name="class_weights",
        question="Clips weighted inversely to the frequency of their emotion, against equal weights",
        arm="loss.class_weights",
        arms=("false", "true"),
        seeds=10,
        overrides=("experiment=corrected", "run_id=class_weights-${loss.class_weights}/seed-${seed}"),
    ),
    Sweep(
        name="speakers",
        question="Each augmentation against none, tested on unseen speakers: six folds of all clips",
        arm="augment",
        arms=AUGMENTS,
        seeds=5,
        overrides=("experiment=corrected", "split=speaker", RUN_ID + "fold-${split.fold}/seed-${seed}"),
        folds=6,
        on_request=True,
    ),
)
AUGMENTATION = SweepStudy(
    name="augmentation",
    title="Which augmentation helps?",
    introduction="All known bugs of the study are fixed. Arms are paired by seed, and by fold where there are folds. "
    "All arms train for the same number of epochs, but an epoch with augmented copies has more steps than one of "
    "`none`, `spec_augment` and `mixup`: four times as many with `paper` and `kaggle`, three times with `speed`, "
    "`gain` and `snr`. Part of a gain may come from the additional steps. The values are those of `conf/augment/`, not "
    "tuned. The rules of `ser-report` decide what is claimed. `paper` of `augment`, `none` of `balance` and `false` of "
    "`class_weights` are the same config: runs with the same seed are equal on the same processor, and differ by some "
    "points on another one, which rounds differently.",
    sweeps=SWEEPS,
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the sweeps that are not finished and write the page."""
    AUGMENTATION.main(
        arguments,
        description="Ask which augmentation helps, and whether balance does; write augmentation.md. Finished runs "
        "are skipped on a rerun.",
    )


if __name__ == "__main__":
    main()
