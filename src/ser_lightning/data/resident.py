"""Dataset kept in the memory of an accelerator."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ser_lightning.data.batch import Batch, BatchDataset, FeatureDataset


class ResidentDataset(BatchDataset):
    """Dataset whose frames are in the memory of a device, where its batches are also assembled.

    Only the row indices of a batch are transferred: transferring the batch itself would take longer than the network.

    Args:
        dataset: the dataset to copy to the device
        device: the device, such as ``cuda:0``

    """

    def __init__(self, dataset: FeatureDataset, *, device: torch.device) -> None:
        frames = dataset.all_frames()
        padding = frames.new_zeros(1, frames.size(1))
        self.frames = torch.cat([frames, padding]).to(device)  # (R + 1, F)
        self.lengths_on_host = dataset.lengths.numpy()
        self.lengths, self.targets = dataset.lengths.to(device), dataset.targets.to(device)
        self.shares = None if dataset.shares is None else dataset.shares.to(device)
        self.offsets = self.lengths.cumsum(0) - self.lengths
        self.device = device

    def __len__(self) -> int:
        return len(self.lengths_on_host)

    def __getitems__(self, rows: list[int]) -> Batch:
        """Return the rows as a batch, in the given order."""
        return self.gather(np.asarray(rows, dtype=np.int64))

    def gather(self, rows: npt.NDArray[np.int64]) -> Batch:
        """Return the rows (B,) as a batch."""
        index = _to_device(torch.from_numpy(rows), self.device)
        lengths = self.lengths[index]  # (B,)
        time = torch.arange(int(self.lengths_on_host[rows].max()), device=self.device)  # (K,)
        source = (self.offsets[index][:, None] + time).where(time < lengths[:, None], len(self.frames) - 1)  # (B, K)
        features = self.frames.index_select(0, source.flatten()).view(*source.shape, -1)  # (B, K, F)
        shares = None if self.shares is None else self.shares[index]
        return Batch(features, lengths, self.targets[index], index, shares)


def fits(dataset: FeatureDataset, device: torch.device) -> bool:
    """Return whether the frames of a dataset fit into less than half of the free memory of a CUDA device.

    The other half is left to the network. The answer is False for any other type of device.
    """
    if device.type != "cuda":
        return False
    size = int(dataset.lengths.sum()) * dataset.frames.shape[1] * dataset.frames.itemsize
    free, _ = torch.cuda.mem_get_info(device)
    return bool(2 * size < free)


def _to_device(values: Tensor, device: torch.device) -> Tensor:
    """Copy values to a device; to a CUDA device without waiting for the transfer to finish."""
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values.to(device)
