"""Rows a second of the published configuration, training and inference, beside a plain implementation of it.

``python -m tests.benchmarks.bench_model [--batch 1024] [--rounds 5] [--device cpu] [--compile]``
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

import recap_model
from recap_model.config import load_config
from recap_model.data.dataset.batch import RecapBatch
from recap_model.model.model_and_loss import ModelAndLoss

_CONFIG = Path(__file__).parents[2] / "pipeline" / "configs" / "heavy_ranker.yaml"
_EMBEDDINGS = ("user_embedding", "user_eng_embedding", "author_embedding")
_STEPS = 3
Run = Callable[[], object]


class PlainMaskBlock(nn.Module):
    """A mask block in the obvious way."""

    def __init__(self, width: int, aggregation: int, out: int):
        super().__init__()
        self.mask = nn.Sequential(nn.Linear(width, aggregation), nn.ReLU(), nn.Linear(aggregation, width))
        self.hidden = nn.Linear(width, out)
        self.norm = nn.LayerNorm(out)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.hidden(x * self.mask(x)))


class PlainRanker(nn.Module):
    """The published configuration written down module by module, as one would without thinking of speed."""

    def __init__(self, continuous: int, binary: int, embedding: int, tasks: int):
        super().__init__()
        width = continuous + binary + len(_EMBEDDINGS) * embedding
        self.batch_norm = nn.BatchNorm1d(continuous, momentum=0.01)
        self.layer_norm = nn.LayerNorm(continuous + binary)
        self.embedding_norms = nn.ModuleList(nn.LayerNorm(embedding) for _ in _EMBEDDINGS)
        self.blocks = nn.ModuleList(PlainMaskBlock(width, 1024, 1024) for _ in range(4))
        self.shared = nn.Linear(4 * 1024, 2048)
        self.towers = nn.ModuleList(
            nn.Sequential(
                nn.Linear(2048, 256),
                nn.BatchNorm1d(256, affine=False),
                nn.ReLU(),
                nn.Linear(256, 128),
                nn.BatchNorm1d(128, affine=False),
                nn.ReLU(),
                nn.Linear(128, 1),
            )
            for _ in range(tasks)
        )

    def forward(self, rows: RecapBatch) -> Tensor:
        groups = rows.tensors()
        x = torch.nan_to_num(groups["continuous"], nan=0.0, posinf=0.0, neginf=0.0)
        x = torch.clamp(self.batch_norm(torch.sign(x) * torch.log1p(torch.abs(x))), -5.0, 5.0)
        parts = [self.layer_norm(torch.cat([x, groups["binary"]], dim=1))]
        parts += [norm(groups[name]) for name, norm in zip(_EMBEDDINGS, self.embedding_norms, strict=True)]
        joined = torch.cat(parts, dim=1)
        shared = torch.relu(self.shared(torch.cat([block(joined) for block in self.blocks], dim=1)))
        return torch.cat([tower(shared) for tower in self.towers], dim=1)


def rows_of(count: int, spec: dict[str, int], tasks: int, device: str) -> RecapBatch:
    """Random rows of the published width."""
    torch.manual_seed(0)
    groups = {name: torch.randn(count, width) for name, width in spec.items()}
    groups["binary"] = groups["binary"].gt(0).float()
    labels = torch.rand(count, tasks).gt(0.9).float()
    return RecapBatch(**groups, labels=labels, weights=torch.ones(count, tasks)).to(device)


def plain_runs(rows: RecapBatch, spec: dict[str, int], tasks: int, device: str) -> tuple[Run, Run]:
    """A training step in float32 with torch's Adam, and inference."""
    net = PlainRanker(spec["continuous"], spec["binary"], spec["user_embedding"], tasks).to(device)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-4)
    assert rows.labels is not None
    labels = rows.labels

    def step() -> None:
        optimizer.zero_grad()
        binary_cross_entropy_with_logits(net.train()(rows), labels).backward()
        optimizer.step()

    @torch.no_grad()
    def infer() -> Tensor:
        return torch.sigmoid(net.eval()(rows))

    return step, infer


def our_runs(rows: RecapBatch, device: str, bf16: bool, compiled: bool) -> tuple[Run, Run]:
    """A training step as the training loop takes it, and inference with calibration and score."""
    config = load_config(_CONFIG)
    module = recap_model.create_ranking_model(
        recap_model.data_spec(config), config, device, recap_model.build_loss(config)
    )
    assert isinstance(module, ModelAndLoss)
    optimizer = recap_model.build_optimizer(module, config.optimizer)
    loss_of, score_of = (module, module.model)
    if compiled:
        loss_of, score_of = torch.compile(module), torch.compile(module.model)

    def step() -> None:
        module.train()
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            loss, _ = loss_of(rows)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    @torch.no_grad()
    def infer() -> object:
        module.eval()
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            return score_of(rows)

    return step, infer


def seconds(run: Run, device: str) -> float:
    """Time of one call, as a mean of a few."""
    started = time.perf_counter()
    for _ in range(_STEPS):
        run()
    if device == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - started) / _STEPS


def product_peak(dtype: torch.dtype, device: str) -> float:
    """Floating-point operations a second of a matrix product of the net's own shape."""
    # A GPU is through with few rows before it is given the next product.
    rows = 65_536 if device == "cuda" else 2048
    left, right = (torch.randn(shape, device=device).to(dtype) for shape in ((rows, 2776), (2776, 1024)))
    run = lambda: left @ right  # noqa: E731
    run()
    return 2 * rows * 2776 * 1024 / min(seconds(run, device) for _ in range(10))


def measure(runs: dict[str, tuple[Run, Run]], rounds: int, device: str) -> dict[str, list[list[float]]]:
    """Times of every run, taken in turns, so that what else the machine does meets all of them."""
    times: dict[str, list[list[float]]] = {name: [[], []] for name in runs}
    for pair in runs.values():
        for run in pair:
            run()
    for _ in range(rounds):
        for name, pair in runs.items():
            for number, run in enumerate(pair):
                times[name][number].append(seconds(run, device))
    return times


def table(times: dict[str, list[list[float]]], batch: int, limits: dict[str, float]) -> list[str]:
    """The lines of the table: rows a second, the ratio to plain, the share of the arithmetic's limit."""
    plain = [statistics.median(part) for part in times["plain float32"]]
    lines = [
        "| | training rows/s | × plain | of the limit | inference rows/s | × plain |",
        "|---|---|---|---|---|---|",
    ]
    for name, parts in times.items():
        step, infer = (statistics.median(part) for part in parts)
        share = batch / step / limits["bf16" if "bf16" in name else "float32"]
        lines.append(
            f"| {name} | {batch / step:,.0f} | {plain[0] / step:.2f} | {share:.0%} | {batch / infer:,.0f} | "
            f"{plain[1] / infer:.2f} |"
        )
    return lines


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.bench_model", description=__doc__)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--compile", action="store_true", help="torch.compile too; compiling takes minutes")
    arguments = parser.parse_args()
    device = arguments.device
    config = load_config(_CONFIG)
    spec, tasks = recap_model.data_spec(config), len(config.tasks)
    rows = rows_of(arguments.batch, spec, tasks, device)
    runs = {
        "plain float32": plain_runs(rows, spec, tasks, device),
        "ours, float32": our_runs(rows, device, bf16=False, compiled=False),
        "ours, bf16": our_runs(rows, device, bf16=True, compiled=False),
    }
    if arguments.compile:
        runs["ours, bf16, compiled"] = our_runs(rows, device, bf16=True, compiled=True)
    parameters = 48_115_108
    # A training step multiplies every weight three times with each row: forward, and twice backward.
    limits = {
        name: product_peak(dtype, device) / (6 * parameters)
        for name, dtype in (("float32", torch.float32), ("bf16", torch.bfloat16))
    }
    times = measure(runs, arguments.rounds, device)
    print(f"batch {arguments.batch}, {torch.get_num_threads()} threads, {device}")
    print(
        f"limit by matrix products: {limits['float32']:,.0f} rows/s in float32, {limits['bf16']:,.0f} in bf16\n"
    )
    print("\n".join(table(times, arguments.batch, limits)))


if __name__ == "__main__":
    main()
