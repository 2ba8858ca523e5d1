"""``make recordings``: what do cutting the pauses and holding back validation speakers cost each system?

The recordings of the study are cut to speech by WebRTC's voice activity detection, and a fold of EmoBox is trained on
16 of its 20 training speakers, the others being for validation. Most of the systems that the study cites do neither.
One sweep per system compares ``audio``, and one compares ``split.refit``. Networks run only on request, because they
take hours without a GPU. Finished runs are skipped on a rerun. The page is made from compact copies of the runs.
"""

from collections.abc import Sequence

from studies.sweeps import Sweep, SweepStudy

CLASSICAL = {  # name of the system -> the experiment and its overrides
    "logistic": ("experiment=logistic",),
    "logistic_compare": ("experiment=logistic", "features=compare"),
    "svm": ("experiment=svm",),
    "svm_egemaps": ("experiment=svm", "features=egemaps"),
    "gmm": ("experiment=gmm",),
}
NETWORKS = {"cnn_bilstm": ("experiment=corrected",), "res_lstm": ("experiment=res_lstm",)}
SYSTEMS = CLASSICAL | NETWORKS


def _sweep(system: str, *, kind: str, question: str, arm: str, arms: Sequence[str], value: str) -> Sweep:
    return Sweep(
        name=f"{kind}_{system}",
        question=f"`{system}`: {question}",
        arm=arm,
        arms=arms,
        seeds=1 if system in CLASSICAL else 3,  # of the classical models, only mixtures draw random numbers
        overrides=(*SYSTEMS[system], "split=emobox", f"run_id={value}/fold-${{split.fold}}/seed-${{seed}}"),
        folds=6,
        on_request=system in NETWORKS,
    )


SWEEPS = (
    *(
        _sweep(
            system,
            kind="audio",
            question="whole recordings, against recordings cut to speech",
            arm="audio",
            arms=("webrtc", "untrimmed"),
            value="${hydra:runtime.choices.audio}",
        )
        for system in SYSTEMS
    ),
    *(
        _sweep(
            system,
            kind="refit",
            question="trained on 20 speakers after all is chosen, against 16",
            arm="split.refit",
            arms=("false", "true"),
            value="refit-${split.refit}",
        )
        for system in SYSTEMS
    ),
)
RECORDINGS = SweepStudy(
    name="recordings",
    title="What do cut pauses and unused speakers cost?",
    introduction="Systems of [systems.md](systems.md) on the six folds of EmoBox, whose test speakers are not in the"
    " training set. `audio`: recordings cut to speech by WebRTC (`webrtc`), as the study does, or whole (`untrimmed`),"
    " as in most of the papers that it cites. `split.refit`: all that is chosen is chosen with four validation speakers"
    " in both arms; `true` then trains on them too, as EmoBox's published protocol does. Arms are paired by fold. The"
    " rules of `ser-report` decide what is claimed.",
    sweeps=SWEEPS,
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the sweeps that are not finished and write the page."""
    RECORDINGS.main(
        arguments,
        description="Ask what cutting the pauses and holding back validation speakers cost each system; write "
        "recordings.md. Finished runs are skipped on a rerun.",
    )


if __name__ == "__main__":
    main()
