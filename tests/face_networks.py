"""The two networks of the tiny face pack, in the shapes that insightface's loader knows: SCRFD and ArcFace."""

from torch import Tensor, nn

STRIDES = (8, 16, 32)
ANCHORS = 2
"""Per cell, as in SCRFD with landmarks."""


def _block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class Residual(nn.Module):
    """Two convolutions and a way around them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(_block(channels, channels), _block(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)


class TinyDetector(nn.Module):
    """RGB (n, 3, height, width), normalised by 127.5 and 128 → nine outputs for one picture: scores of strides 8, 16,
    32, each (cells x 2, 1), then boxes (…, 4) as distances to the sides and landmarks (…, 10), both in strides."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(_block(3, 12, 2), _block(12, 20, 2), _block(20, 32, 2), Residual(32))
        self.middle = nn.Sequential(_block(32, 40, 2), Residual(40))
        self.deep = nn.Sequential(_block(40, 48, 2), Residual(48), Residual(48))
        self.heads = nn.ModuleList(
            nn.Sequential(_block(channels, 32), nn.Conv2d(32, 15, 1)) for channels in (32, 40, 48)
        )
        for head in self.heads:
            nn.init.constant_(head[1].bias[0], -4.0)  # type: ignore[index,arg-type]

    def cells(self, x: Tensor) -> list[Tensor]:
        """Per stride (n, 15, rows, columns): a score's logit, 4 distances, 10 offsets."""
        fine = self.stem(x)
        coarse = self.middle(fine)
        return [head(level) for head, level in zip(self.heads, (fine, coarse, self.deep(coarse)), strict=True)]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        cells = [level.permute(0, 2, 3, 1).reshape(-1, 1, 15) for level in self.cells(x)]
        cells = [level.expand(-1, ANCHORS, -1).reshape(-1, 15) for level in cells]
        scores = [level[:, :1].sigmoid() for level in cells]
        return (*scores, *(level[:, 1:5] for level in cells), *(level[:, 5:] for level in cells))


class TinyEmbedder(nn.Module):
    """RGB (n, 3, 112, 112), normalised by 127.5 and 127.5 → (n, 512)."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            *(_block(3, 24, 2), _block(24, 40, 2), Residual(40)),
            *(_block(40, 64, 2), Residual(64), _block(64, 112, 2), Residual(112)),
            *(nn.Conv2d(112, 112, 7, groups=112, bias=False), nn.BatchNorm2d(112), nn.Flatten()),
            *(nn.Linear(112, 512, bias=False), nn.BatchNorm1d(512)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)  # type: ignore[no-any-return]
