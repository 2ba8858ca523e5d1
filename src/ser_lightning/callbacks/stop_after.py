"""Stop training after a number of epochs that is smaller than the one of the learning rate schedule."""

import pytorch_lightning as pl


class StopAfter(pl.Callback):
    """Stop after some epochs; ``trainer.max_epochs`` still determines the learning rate schedule.

    Args:
        epochs: number of epochs to train

    """

    def __init__(self, *, epochs: int) -> None:
        self.epochs = epochs

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop before the checkpoint of the last epoch is written, so that it says that training has ended."""
        if trainer.current_epoch + 1 >= self.epochs:
            trainer.should_stop = True
