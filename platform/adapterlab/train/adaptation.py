"""What a lane adds to the frozen backbone: its own adapter, or a combination of frozen ones.

Lanes whose adaptations share work (the same frozen pool) form a group: the shared part runs once
over the group's rows. Lanes of a group whose adaptations are alike form a cohort: the rest runs once for
them, lanes being an axis of their tensors.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, groupby

import torch
from torch import Tensor

from adapterlab.errors import UsageError
from adapterlab.records import PoolShape, Reads
from adapterlab.train.gpu_path import on_gpu_path
from adapterlab.train.layers import Backbone, FrozenPool, HeadLayer, Joined, MethodLayer
from adapterlab.train.packing import LaneRows, spread
from adapterlab.train.passes import Pass, Rectangle, parts
from adapterlab.train.rng import Draws, Numbers, key_of_numbers
from adapterlab.train.together import InPrecision, Together
from adapterlab.train.token_means import TokenMeans

_CPU = torch.device("cpu")


class Adaptation(Joined, ABC):
    """How a lane's tensors change the backbone's computation."""

    reads: frozenset[str] = frozenset("xy")
    """Which of a site's ``x`` and ``y`` are read."""

    means: TokenMeans | None = None
    """Where coefficients of every token are noted; ``None``: nowhere."""

    @property
    def exclusive(self) -> bool:
        """Whether the lane trains the backbone's own weights, so that its passes are its own."""
        return False

    @property
    @abstractmethod
    def group(self) -> int:
        """Lanes of equal group may share :meth:`shared`."""

    @property
    @abstractmethod
    def sites(self) -> tuple[str, ...]:
        """Where something is added, as the backbone names them; in the order of the points."""

    def shared(self, site: str, layer: int, x: Tensor) -> Tensor | None:
        """Return what lanes of a group have in common, for their rows together; ``None``: nothing."""
        del site, layer, x
        return None

    @abstractmethod
    def forward(
        self,
        tensors: Mapping[str, Tensor],
        at: tuple[str, int],
        x: Tensor,
        y: Tensor,
        shared: Tensor | None,
        generator: torch.Generator | Draws | None,
    ) -> Tensor:
        """Return what is added at a site of a layer for one lane's rows: x (N_k, ·), y (N_k, e) -> (N_k, e).

        Of a cohort: (K, R, ·) and (K, R, e) -> (K, R, e).
        """

    def penalty(self, tensors: Mapping[str, Tensor]) -> Tensor | None:
        """Return a term of the lane's loss that does not depend on its rows, of a cohort (K,); ``None``: none."""
        del tensors
        return None

    def decays(self, name: str) -> bool:
        """Return whether weight decay acts on a tensor."""
        del name
        return True

    def lr_factor(self, name: str) -> float:
        """Return a tensor's learning rate over the lane's; 1 but for few."""
        del name
        return 1.0


@dataclass(frozen=True)
class OwnAdapter(Adaptation):
    """Stage 1: the lane trains an adapter of its own."""

    method: MethodLayer

    @property
    def reads(self) -> frozenset[str]:  # type: ignore[override]
        """What the method reads."""
        return self.method.reads

    @property
    def alike(self) -> Hashable | None:
        """Adapters are as alike as their methods."""
        return self.method.alike

    def together(self, layers: Sequence[OwnAdapter]) -> OwnAdapter:
        """Return the adaptation of several lanes."""
        return OwnAdapter(self.method.together([one.method for one in layers]))

    @property
    def group(self) -> int:
        """Own adapters share nothing, so all of them are one group, whatever their methods."""
        return 0

    @property
    def sites(self) -> tuple[str, ...]:
        """The method's sites."""
        return tuple(site.name for site in self.method.sites)

    @property
    def exclusive(self) -> bool:
        """Whether the method trains the backbone's own weights."""
        return self.method.trains_backbone

    def forward(
        self,
        tensors: Mapping[str, Tensor],
        at: tuple[str, int],
        x: Tensor,
        y: Tensor,
        shared: Tensor | None,
        generator: torch.Generator | Draws | None,
    ) -> Tensor:
        """Return the adapter's output."""
        del shared, generator  # the adapter has no dropout of its own
        return self.method.forward(tensors, *at, x, y)

    def lr_factor(self, name: str) -> float:
        """Return what the method says of a tensor."""
        return self.method.lr_factor(name)


@dataclass(frozen=True)
class SourcePool:
    """T frozen adapters, stacked point by point; shared by every lane that combines them."""

    method: MethodLayer
    points: tuple[FrozenPool, ...]
    """By number of the point, see :class:`~adapterlab.records.PoolShape`."""

    @classmethod
    def build(
        cls, method: MethodLayer, adapters: Sequence[Mapping[str, Tensor]], backbone: Backbone
    ) -> SourcePool:
        """Stack adapters in coefficient order, in the backbone's precision and on its device.

        Raises:
            UsageError: The method's adapters cannot be combined.
        """
        if not method.sites:
            raise UsageError(f"adapters of {type(method).__name__} cannot be combined: they attach nowhere")
        placed = [
            {name: tensor.to(device=backbone.device, dtype=backbone.dtype) for name, tensor in one.items()}
            for one in adapters
        ]
        return cls(method, tuple(method.stack(placed, site, layer) for site, layer in method.points))

    @cached_property
    def shape(self) -> PoolShape:
        """Its points and the number of its adapters."""
        return PoolShape(self.method.shape.layers, self.method.sites, self.sources)

    @cached_property
    def sites(self) -> tuple[str, ...]:
        """Names of the method's sites."""
        return tuple(site.name for site in self.method.sites)

    @property
    def sources(self) -> int:
        """Number of adapters, T."""
        return self.points[0].up.shape[0]


@dataclass(frozen=True)
class Seat:
    """One lane's place in a pass: what it adds and what reads it, with which tensors and random numbers."""

    adaptation: Adaptation
    tensors: Mapping[str, Tensor]
    head: HeadLayer | None = None
    """Reads the last hidden states; ``None`` where these themselves are wanted."""
    key: int | None = None
    """Of the numbers that dropout draws in this step; ``None`` in evaluation."""
    backbone_dropout: bool = False
    """Whether the frozen backbone drops as well."""
    head_dropout: float = 0.0

    @property
    def reads(self) -> Reads:
        """Which states its head reads."""
        return Reads.FIRST if self.head is None else self.head.reads

    @property
    def drops_in_backbone(self) -> bool:
        """Whether the frozen backbone drops in this pass."""
        return self.key is not None and self.backbone_dropout

    @property
    def joins(self) -> bool:
        """Whether it is computed together with others that are alike; not on a CPU."""
        return on_gpu_path(next((one.device for one in self.tensors.values()), _CPU))

    @property
    def kin(self) -> Hashable | None:
        """Equal for lanes that are computed together where they sit side by side; ``None``: alone."""
        alike = self.adaptation.alike
        if alike is None or not self.joins:
            return None
        return self.adaptation.group, alike, self.key is None, self.backbone_dropout


def numbers_of(seats: Sequence[Seat], purpose: str, device: torch.device) -> Numbers | None:
    """Return what lanes draw for one purpose in this step; ``None`` in evaluation."""
    keys = [key_of_numbers(seat.key, purpose) for seat in seats if seat.key is not None]
    return Numbers(keys, device) if keys else None


def trained_in(dtype: torch.dtype) -> torch.dtype:
    """Return the precision trained tensors, heads and losses have where the backbone computes in ``dtype``.

    Steps of an optimizer are smaller than 16 bits can tell apart, so what is trained has 32.
    """
    return torch.float32 if dtype in (torch.bfloat16, torch.float16) else dtype


@dataclass(frozen=True)
class Cohort:
    """Lanes side by side whose adaptations are computed together; often one alone."""

    seats: Sequence[Seat]

    @property
    def group(self) -> int:
        """That of its lanes."""
        return self.seats[0].adaptation.group

    @cached_property
    def stacked(self) -> bool:
        """Whether tensors have a leading axis of lanes; not where a layer takes one lane at a time."""
        return self.seats[0].adaptation.alike is not None

    @cached_property
    def adaptation(self) -> Adaptation:
        """What all of them add."""
        first = self.seats[0].adaptation
        return first.together([seat.adaptation for seat in self.seats]) if self.stacked else first

    @cached_property
    def tensors(self) -> Mapping[str, Tensor]:
        """The lanes' tensors, (K, …) each, or the one lane's."""
        return Together([seat.tensors for seat in self.seats]) if self.stacked else self.seats[0].tensors

    @cached_property
    def penalties(self) -> Tensor | None:
        """Each lane's term of the loss that does not depend on its rows, (K,); ``None``: there is none."""
        found = self.adaptation.penalty(self.tensors)
        return None if found is None else found.view(len(self.seats))


def cohorts_of(seats: Sequence[Seat]) -> list[Cohort]:
    """Return the lanes, in their order, with those that are computed together as one."""
    runs = groupby(range(len(seats)), key=lambda i: (kin := seats[i].kin, i if kin is None else None))
    return [Cohort(tuple(seats[i] for i in members)) for _, members in runs]


@dataclass(frozen=True)
class PassHook:
    """What the lanes of one pass add to the backbone; see :class:`~adapterlab.train.layers.Hook`."""

    cohorts: Sequence[Cohort]
    """The lanes, those of equal group side by side."""
    batch: Pass
    """Their rows."""
    dtype: torch.dtype
    """Precision of the pass."""
    device: torch.device

    @cached_property
    def sites(self) -> frozenset[str]:
        """Where some lane adds something."""
        return frozenset(site for cohort in self.cohorts for site in cohort.adaptation.sites)

    @cached_property
    def _groups(self) -> list[list[_Member]]:
        """The cohorts, group by group, with the numbers of their lanes."""
        members = [
            _Member(cohort, slice(end - len(cohort.seats), end), self.dtype, self.device)
            for cohort, end in zip(self.cohorts, _ends(self.cohorts), strict=True)
        ]
        return [list(own) for _, own in groupby(members, key=lambda one: one.cohort.group)]

    def __call__(self, site: str, layer: int, x: Tensor, y: Tensor) -> Tensor | None:
        """Return what is added at a site, zeros for lanes that do not attach there."""
        sizes = self.batch.sizes_of(x)
        counts = [sum(sizes[group[0].lanes.start : group[-1].lanes.stop]) for group in self._groups]
        outputs: list[Tensor] = []
        for group, of_x, of_y in zip(self._groups, parts(x, counts), parts(y, counts), strict=True):
            first = group[0].cohort.seats[0].adaptation
            shared = first.shared(site, layer, of_x) if site in first.sites else None
            own = [sum(sizes[member.lanes]) for member in group]
            shares: Sequence[Tensor | None] = [None] * len(group) if shared is None else parts(shared, own)
            for member, one_x, one_y, share in zip(
                group, parts(of_x, own), parts(of_y, own), shares, strict=True
            ):
                outputs.append(member.added((site, layer), sizes[member.lanes], one_x, one_y, share))
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs)


@dataclass(frozen=True)
class _Member:
    """A cohort in a pass."""

    cohort: Cohort
    lanes: slice
    dtype: torch.dtype
    device: torch.device

    def added(
        self, at: tuple[str, int], sizes: tuple[int, ...], x: Tensor, y: Tensor, shared: Tensor | None
    ) -> Tensor:
        """Return what the lanes add at a site of a layer, (N, e).

        Args:
            at: The site and the layer.
            sizes: Rows of each lane.
            x: The site's input, (N, ·).
            y: The site's output, (N, e).
            shared: What the group has in common, (N, ·).
        """
        adaptation = self.cohort.adaptation
        if at[0] not in adaptation.sites:
            return y.new_zeros(y.shape)
        site = at[1], adaptation.sites.index(at[0])
        draws = None if self._numbers is None else self._numbers.at(*site)
        if not self.cohort.stacked:
            generator = None if draws is None else draws.generator()
            return adaptation.forward(self._tensors, at, x, y, shared, generator)
        rows = self._rows(sizes)
        u = adaptation.forward(
            self._tensors,
            at,
            rows.apart(x) if "x" in adaptation.reads else x,
            rows.apart(y) if "y" in adaptation.reads else y,
            None if shared is None else rows.apart(shared),
            draws,
        )
        return rows.together(u)

    @cached_property
    def _numbers(self) -> Numbers | None:
        return numbers_of(self.cohort.seats, "adaptation", self.device)

    @cached_property
    def _tensors(self) -> Mapping[str, Tensor]:
        """The lanes' tensors in the precision of the pass; gradients flow to their own."""
        return InPrecision(self.cohort.tensors, self.dtype)

    def _rows(self, sizes: tuple[int, ...]) -> LaneRows:
        if sizes not in self._known_rows:
            self._known_rows[sizes] = LaneRows(sizes, self.device)
        return self._known_rows[sizes]

    @cached_property
    def _known_rows(self) -> dict[tuple[int, ...], LaneRows]:
        return {}


def hidden_states(backbone: Backbone, seats: Sequence[Seat], rectangles: Sequence[Rectangle]) -> list[Tensor]:
    """Return the last hidden states of each lane, (B_k, S_k, d), zeros at padding.

    Lanes share one pass; a lane that trains the backbone's own weights has one of its own.

    Args:
        backbone: The shared frozen backbone.
        seats: The lanes, those of equal group side by side.
        rectangles: Their rows.
    """
    states = _packed_states(backbone, cohorts_of(seats), rectangles, one_row=False)
    grids = [
        one if each.cells is None else spread(one, each.cells, each.token_ids.numel())
        for one, each in zip(states, rectangles, strict=True)
    ]
    return [one.view(*each.token_ids.shape, -1) for one, each in zip(grids, rectangles, strict=True)]


def read_states(
    backbone: Backbone,
    seats: Sequence[Seat],
    rectangles: Sequence[Rectangle],
    cohorts: Sequence[Cohort] | None = None,
) -> list[Tensor]:
    """Return the last hidden states that each lane's head reads: one row per sequence, or one per token.

    Where every head reads one token per sequence, the last layer is computed for these alone; the numbers
    are those of :func:`hidden_states`.

    Args:
        backbone: The shared frozen backbone.
        seats: The lanes, those of equal group side by side.
        rectangles: Their rows.
        cohorts: The same lanes, if they are known by these.

    Returns:
        For each lane (B_k, d), or (tokens_k, d) for a head that reads every token.
    """
    one_row = all(
        seat.reads in (Reads.FIRST, Reads.LAST) and seat.adaptation.means is None  # means are over all tokens
        for seat in seats
    )
    states = _packed_states(backbone, cohorts or cohorts_of(seats), rectangles, one_row=one_row)
    if one_row:
        return states
    return [
        rectangle.read(one, seat.reads)
        for one, seat, rectangle in zip(states, seats, rectangles, strict=True)
    ]


def _packed_states(
    backbone: Backbone, cohorts: Sequence[Cohort], rectangles: Sequence[Rectangle], *, one_row: bool
) -> list[Tensor]:
    """Return each lane's last hidden states, (tokens_k, d), or (B_k, d) of the tokens that heads read.

    Lanes whose backbone drops have a pass of their own, and so has a lane that trains the backbone.
    """
    passes: dict[Hashable, list[int]] = {}
    for place, cohort in enumerate(cohorts):
        seat = cohort.seats[0]
        passes.setdefault((seat.drops_in_backbone, place if seat.adaptation.exclusive else None), []).append(
            place
        )
    lanes = [range(end - len(one.seats), end) for one, end in zip(cohorts, _ends(cohorts), strict=True)]
    found: dict[int, Tensor] = {}
    for places in passes.values():
        seats = [seat for place in places for seat in cohorts[place].seats]
        members = [lane for place in places for lane in lanes[place]]
        batch = Pass(tuple(rectangles[lane] for lane in members))
        base = backbone
        if seats[0].adaptation.exclusive:
            base = backbone.with_weights(InPrecision(seats[0].tensors, backbone.dtype))
        packed = base.forward(
            batch,
            PassHook([cohorts[place] for place in places], batch, backbone.dtype, backbone.device),
            numbers_of(seats, "backbone", backbone.device) if seats[0].drops_in_backbone else None,
            rows=batch.rows_read([seat.reads for seat in seats]) if one_row else None,
        )
        packed = packed.to(trained_in(backbone.dtype))
        found |= dict(zip(members, batch.split(packed), strict=True))
    return [found[lane] for lane in range(len(rectangles))]


def _ends(cohorts: Sequence[Cohort]) -> list[int]:
    """Return for each cohort how many lanes there are up to its last one."""
    return list(accumulate(len(cohort.seats) for cohort in cohorts))
