"""Networks of the sizes of insightface's `buffalo_l`, for random weights: SCRFD-10G and an ArcFace ResNet-50.

Published shapes; what they compute says nothing, what it takes says all. The detector's file is 17 MB, the recogniser's
174 MB, as those of the pack.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

STRIDES = (8, 16, 32)
ANCHORS = 2
"""Per cell."""
LEVEL_CHANNELS, HEAD_CHANNELS = 56, 80


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())


class _Basic(nn.Module):
    """Two convolutions and a way around them."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            _convolution(inputs, outputs, stride),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.around: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.around = nn.Sequential(
                nn.AvgPool2d(stride, stride, ceil_mode=True),
                nn.Conv2d(inputs, outputs, 1, bias=False),
                nn.BatchNorm2d(outputs),
            )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.inner(x) + self.around(x))


class Detector(nn.Module):
    """RGB (1, 3, height, width) → nine outputs: scores, box distances, landmark offsets of each stride."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            _convolution(3, 28, 2), _convolution(28, 28), _convolution(28, 56), nn.MaxPool2d(3, 2, 1)
        )
        stages, inputs = [], 56
        for index, (blocks, outputs) in enumerate(((3, 56), (4, 88), (2, 88), (3, 224))):
            first = _Basic(inputs, outputs, 1 if index == 0 else 2)
            stages.append(nn.Sequential(first, *(_Basic(outputs, outputs, 1) for _ in range(blocks - 1))))
            inputs = outputs
        self.stages = nn.ModuleList(stages)
        self.lateral = nn.ModuleList(nn.Conv2d(channels, LEVEL_CHANNELS, 1) for channels in (88, 88, 224))
        self.smooth = nn.ModuleList(nn.Conv2d(LEVEL_CHANNELS, LEVEL_CHANNELS, 3, 1, 1) for _ in range(5))
        self.down = nn.ModuleList(nn.Conv2d(LEVEL_CHANNELS, LEVEL_CHANNELS, 3, 2, 1) for _ in range(2))
        self.heads = nn.ModuleList(
            nn.Sequential(
                _convolution(LEVEL_CHANNELS, HEAD_CHANNELS),
                *(_convolution(HEAD_CHANNELS, HEAD_CHANNELS) for _ in range(2)),
                nn.Conv2d(HEAD_CHANNELS, 15 * ANCHORS, 3, 1, 1),
            )
            for _ in STRIDES
        )

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x, seen = self.stem(x), []
        for stage in self.stages:
            x = stage(x)
            seen.append(x)
        levels = [lateral(level) for lateral, level in zip(self.lateral, seen[1:], strict=True)]
        for index in (1, 0):
            levels[index] = levels[index] + nn.functional.interpolate(levels[index + 1], scale_factor=2.0)
        levels = [smooth(level) for smooth, level in zip(self.smooth, levels, strict=False)]
        for index in (1, 2):
            levels[index] = self.smooth[index + 2](levels[index] + self.down[index - 1](levels[index - 1]))
        cells = [
            head(level).permute(0, 2, 3, 1).reshape(-1, 15) for head, level in zip(self.heads, levels, strict=True)
        ]
        scores = [level[:, :1].sigmoid() for level in cells]
        return (*scores, *(level[:, 1:5] for level in cells), *(level[:, 5:] for level in cells))


class _ArcFaceBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.PReLU(outputs),
            nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.around: nn.Module = nn.Identity()
        if stride > 1:
            self.around = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) + self.around(x)  # type: ignore[no-any-return]


class Recognizer(nn.Module):
    """RGB (n, 3, 112, 112) → (n, 512)."""

    def __init__(self, blocks: Sequence[int] = (3, 4, 14, 3)) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.PReLU(64)]
        inputs = 64
        for count, outputs in zip(blocks, (64, 128, 256, 512), strict=True):
            layers += [
                _ArcFaceBlock(inputs, outputs, 2),
                *(_ArcFaceBlock(outputs, outputs, 1) for _ in range(count - 1)),
            ]
            inputs = outputs
        layers += [nn.BatchNorm2d(512), nn.Flatten(), nn.Linear(512 * 7 * 7, 512), nn.BatchNorm1d(512)]
        self.inner = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)  # type: ignore[no-any-return]
