"""Every epoch in a line of the run's log."""

import logging

import pytorch_lightning as pl

log = logging.getLogger(__name__)


class EpochLog(pl.Callback):
    """Log the validation figures of each epoch; they go to ``train.log``, not to the terminal."""

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the last entry of the task's history."""
        if trainer.sanity_checking:
            return
        values = {name: values[-1] for name, values in pl_module.history.items() if name.startswith("val/")}  # type: ignore[union-attr,operator]
        log.debug("epoch %d %s", trainer.current_epoch, " ".join(f"{k}={v:.4f}" for k, v in values.items()))
