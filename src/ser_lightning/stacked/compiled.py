"""A compiled forward and backward pass of the training steps of a stack."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from ser_lightning.stacked.batches import FoldedBatch
from ser_lightning.stacked.layers import Clips, StackedDropout, by_run

LENGTHS = 6  # lengths to which batches are padded, up to the longest clip; the step is compiled for each
MOST = 8  # lengths for which torch compiles one function
Losses = Callable[[FoldedBatch], tuple[Tensor, Tensor]]


class CompiledLosses:
    """Losses of training batches by a function that ``torch.compile`` compiles for a few shapes of batches.

    Batches are filled up to the same number of clips, and padded to one of a few lengths. Dropout masks are drawn
    before, because a compiled function has no generators of its own; their shapes are those of the first step, which is
    not compiled.

    Args:
        losses: from a batch to the losses of each run and the logits
        clips: description of the batch, for the layers
        size: number of clips of the largest batch of a run
        longest: number of frames of the longest clip
        device: device of the batches

    """

    def __init__(self, losses: Losses, *, clips: Clips, size: int, longest: int, device: torch.device) -> None:
        torch.compiler.reset()  # forget the functions of the stack before this one, and free their memory
        # On a CPU, which gains nothing, the step is traced for the tests but not translated into machine code.
        backend, mode = ("inductor", "reduce-overhead") if device.type == "cuda" else ("aot_eager", None)
        self.losses = losses
        self.compiled = torch.compile(losses, fullgraph=True, dynamic=False, backend=backend, mode=mode)
        self.clips, self.size, self.multiple = clips, size, -(-longest // LENGTHS)
        self.dropped: list[tuple[StackedDropout, torch.Size]] | None = None
        self.lengths: set[int] = set()

    def __call__(self, batch: FoldedBatch) -> tuple[FoldedBatch, Tensor, Tensor]:
        """Return the batch, padded, the losses (networks, R), and the logits (R, B, classes)."""
        if self.dropped is None:
            result = self.losses(batch)
            self.dropped = self.clips.dropped
            return batch, *result
        padded = self._pad(batch)
        self.lengths.add(padded.features.size(1))
        if len(self.lengths) > MOST:  # batch augmentation has stretched clips beyond the longest
            self.lengths.remove(padded.features.size(1))
            return batch, *self.losses(batch)
        self.clips.real = padded.real
        for layer, shape in self.dropped:
            frames = [padded.features.size(1)] if len(shape) > 2 else []
            layer.mask = layer.draw([len(padded.lengths), *frames, *shape[1 + len(frames) :]], like=padded.features)
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        result = self.compiled(padded)
        for layer, _ in self.dropped:
            layer.mask = None
        return padded, *result

    def _pad(self, batch: FoldedBatch) -> FoldedBatch:
        """Fill up a batch with clips of one frame, and pad its clips."""
        runs, size = batch.target.shape
        clips, frames = self.size - size, -batch.features.size(1) % self.multiple
        return batch._replace(
            features=F.pad(by_run(batch.features, runs), (0, 0, 0, frames, 0, clips)).flatten(0, 1),
            lengths=F.pad(batch.lengths.view(runs, size), (0, clips), value=1).flatten(),
            target=F.pad(batch.target, (0, clips)),
            shares=None if batch.shares is None else F.pad(batch.shares, (0, 0, 0, clips)),
            real=F.pad(batch.real, (0, clips)),
        )
