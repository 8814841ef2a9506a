"""Modules of PyTorch for test_pytorch.py, which imports this file only when a test runs.

`make test` has no torch.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

F = nn.functional


class Journeys(nn.Module):
    """Numbers and the code of a city: an embedding, BatchNorm and Dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.city = nn.Embedding(5, 3)
        self.layers = nn.Sequential(
            nn.Linear(7, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 3)
        )

    def forward(self, numbers: Tensor, city: Tensor) -> Tensor:
        return self.layers(torch.cat([numbers, self.city(city).to(numbers.dtype)], dim=1))


def trained(module: nn.Module, inputs: tuple[Tensor, ...], target: Tensor) -> nn.Module:
    """Trains for a few steps, so that BatchNorm has learned something."""
    optimizer = torch.optim.Adam(module.parameters(), 0.02)
    for _ in range(20):
        optimizer.zero_grad()
        F.cross_entropy(module(*inputs), target).backward()
        optimizer.step()
    return module.eval()


def journeys(dtype: Any, rows: int = 300) -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(0)
    numbers = torch.randn(rows, 4).to(dtype)
    city = torch.randint(0, 5, (rows,))
    target = (numbers[:, 0] > 0).long() + (city == 3).long()
    return trained(Journeys().to(dtype), (numbers, city), target), numbers, city


def digits() -> tuple[nn.Module, Tensor]:
    """A small network for images of 8 x 8 pixels, and 600 images that it was not trained on."""
    torch.manual_seed(0)
    flat, target = load_digits(return_X_y=True)
    images = torch.tensor(flat.reshape(-1, 1, 8, 8) / 16, dtype=torch.float32)
    module = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(128, 10),
    )
    trained(module, (images[:500],), torch.tensor(target[:500]))
    return module, images[500:1100]


def answers_of(module: nn.Module, *inputs: Tensor) -> Any:
    with torch.no_grad():
        return module(*inputs)


def linear(dtype: Any = torch.float32) -> nn.Module:
    torch.manual_seed(1)
    return nn.Linear(3, 2).to(dtype).eval()


def rows(count: int = 40, dtype: Any = torch.float32) -> Tensor:
    return torch.from_numpy(np.random.default_rng(2).normal(size=(count, 3))).to(dtype)


class Function(nn.Module):
    """A module that calls a function, which may take the module's own linear layer first."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.layer = linear()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


class Pair(NamedTuple):
    mean: Tensor
    scores: Tensor


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * 2


class Codes(nn.Module):
    """Takes the codes as a column of a float matrix, as many tabular networks do."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(4, 2)
        self.layer = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(torch.cat([x[:, :2], self.table(x[:, 2].long())], 1))[:, 0]


class Difference(nn.Module):
    """The index follows from two features, so no domain of one feature describes it."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(10, 1)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.table(a - b)
