"""Networks that torchvision does not have: taggers, an encoder, a 1-D network, a U-Net, a detector's head."""

import torch
from torch import nn


class Tagger(nn.Module):
    """Labels each token: embedding, two recurrent layers in both directions, a linear layer."""

    def __init__(self, kind, words=500, width=32, hidden=48, tags=9):
        super().__init__()
        self.embedding = nn.Embedding(words, width)
        self.layers = kind(width, hidden, num_layers=2, bidirectional=True, batch_first=True)
        self.head = nn.Linear(2 * hidden, tags)

    def forward(self, tokens):
        return self.head(self.layers(self.embedding(tokens))[0]).log_softmax(-1)


class Encoder(nn.Module):
    """Classifies a sequence of tokens: embeddings, encoder layers, the mean over tokens."""

    def __init__(self, words=500, length=24, width=64, heads=4, layers=3, classes=5, first=False):
        super().__init__()
        self.embedding = nn.Embedding(words, width)
        self.positions = nn.Parameter(torch.randn(1, length, width) * 0.1)
        layer = nn.TransformerEncoderLayer(width, heads, 2 * width, activation="gelu", batch_first=True, norm_first=first)
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = nn.Linear(width, classes)

    def forward(self, tokens):
        x = self.embedding(tokens) + self.positions
        return self.head(self.layers(x).mean(1))


class Decoder(nn.Module):
    """Causal self-attention with a mask that the network makes itself, and a head over the words."""

    def __init__(self, words=300, length=16, width=48, heads=3):
        super().__init__()
        self.heads = heads
        self.embedding = nn.Embedding(words, width)
        self.projections = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.register_buffer("mask", torch.tril(torch.ones(length, length)).bool())

    def forward(self, tokens):
        x = self.embedding(tokens)
        n, length, width = x.shape
        q, k, v = (part.reshape(n, length, self.heads, -1).transpose(1, 2) for part in self.projections(x).chunk(3, -1))
        scores = (q @ k.transpose(-1, -2)) * (width // self.heads) ** -0.5
        scores = scores.masked_fill(~self.mask, float("-inf")).softmax(-1)
        x = self.norm(x + self.out((scores @ v).transpose(1, 2).reshape(n, length, width)))
        return x @ self.embedding.weight.T


class Sound(nn.Module):
    """Classifies a waveform by strided 1-D convolutions."""

    def __init__(self, channels=(32, 48, 64, 96), classes=12):
        super().__init__()
        layers, before = [], 1
        for index, after in enumerate(channels):
            layers += [nn.Conv1d(before, after, 80 if index == 0 else 3, stride=8 if index == 0 else 1, padding=1, bias=False),
                       nn.BatchNorm1d(after), nn.ReLU(), nn.MaxPool1d(4)]
            before = after
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(before, classes)

    def forward(self, x):
        return self.head(self.layers(x).mean(-1))


def convolutions(before, after):
    return nn.Sequential(nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(),
                         nn.Conv2d(after, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU())


class UNet(nn.Module):
    """Labels each pixel; `learned` says whether upsampling is a transposed convolution or an interpolation."""

    def __init__(self, width=16, depth=3, classes=4, learned=True):
        super().__init__()
        widths = [width << level for level in range(depth + 1)]
        self.down = nn.ModuleList(convolutions(a, b) for a, b in zip([3] + widths, widths))
        self.pool = nn.MaxPool2d(2)
        ups = zip(widths[:0:-1], widths[-2::-1])
        if learned:
            self.up = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, stride=2) for a, b in ups)
        else:
            self.up = nn.ModuleList(
                nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False), nn.Conv2d(a, b, 1)) for a, b in ups)
        self.join = nn.ModuleList(convolutions(2 * a, a) for a in widths[-2::-1])
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, x):
        skips = []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else self.pool(x))
            skips.append(x)
        for up, join, skip in zip(self.up, self.join, skips[-2::-1]):
            x = join(torch.cat([up(x), skip], 1))
        return self.head(x)


class Detector(nn.Module):
    """Three scales with upsampling between them, boxes decoded from a grid, and the best of them by `TopK` (none when 0)."""

    def __init__(self, size=64, width=16, classes=5, best=20):
        super().__init__()
        act = nn.SiLU()
        block = lambda a, b: nn.Sequential(nn.Conv2d(a, b, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(b), act)
        self.stem = nn.Sequential(block(3, width), block(width, 2 * width), block(2 * width, 2 * width))
        self.middle, self.deep = block(2 * width, 4 * width), block(4 * width, 8 * width)
        self.pool = nn.MaxPool2d(5, stride=1, padding=2)
        self.lateral = nn.Conv2d(8 * width, 4 * width, 1)
        self.heads = nn.ModuleList(nn.Conv2d(w, 5 + classes, 1) for w in [2 * width, 8 * width, 8 * width])
        self.best = best
        grids, strides = [], []
        for stride in [8, 16, 32]:
            cells = size // stride
            y, x = torch.meshgrid(torch.arange(cells), torch.arange(cells), indexing="ij")
            grids.append(torch.stack([x, y], -1).reshape(-1, 2))
            strides.append(torch.full((cells * cells, 1), float(stride)))
        self.register_buffer("grid", torch.cat(grids).float())
        self.register_buffer("stride", torch.cat(strides))

    def forward(self, x):
        fine = self.stem(x)
        middle = self.middle(fine)
        deep = self.deep(middle)
        deep = torch.cat([deep[:, :deep.shape[1] // 2], self.pool(deep)[:, deep.shape[1] // 2:]], 1)
        up = nn.functional.interpolate(self.lateral(deep), scale_factor=2.0, mode="nearest")
        maps = [fine, torch.cat([middle, up], 1), deep]
        rows = torch.cat([head(m).flatten(2) for head, m in zip(self.heads, maps)], 2).transpose(1, 2)
        centre = (rows[..., :2].sigmoid() * 2 - 0.5 + self.grid) * self.stride
        extent = rows[..., 2:4].clamp(-4, 4).exp() * self.stride
        boxes = torch.cat([centre - extent / 2, centre + extent / 2], -1)
        scores = rows[..., 4:5].sigmoid() * rows[..., 5:].softmax(-1)
        if not self.best:
            return boxes, scores
        best, labels = scores.max(-1)
        best, index = best.topk(self.best, 1)
        boxes = boxes.gather(1, index.unsqueeze(-1).expand(-1, -1, 4))
        return boxes, best, labels.gather(1, index)
