"""The interface of a memory model (M): all that other code uses of one."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from worldmodels.memory.mixture import Mixture


class State(Protocol):
    """What M carries from step to step: a NamedTuple of tensors, (B, ...) each, whatever they are. C reads ``h``, (B,
    H), and ``c``, (B, H), where ``controller.inputs`` asks for it.
    """

    @property
    def h(self) -> Tensor: ...

    def __iter__(self) -> Iterator[Tensor]: ...


class Memory(nn.Module):
    """M. A class of one's own may derive from this one; it need not, if it is an ``nn.Module`` with the three sizes and
    the four methods. z is (..., Z), actions (..., A), h (..., H).

    Optional are the heads: ``reward_head`` with `mean`, `nll` and `sample` as of `GaussianReward`, and ``end_head``
    with `probability` and `nll` as of `End`. The names below are for transfer between tasks, by the names of the
    weights: ``INPUT_LAYERS`` have a column for each number of [z, a], in this order, and so another width where the
    task has other actions; the others are beginnings of names. ``OPTIONAL``: fresh where the source has none, left out
    where this network has none. ``ADDED``: fresh where the source has none. ``ADAPTERS``: layers of the network's own
    before the input layer, always fresh. ``RENAMED``: what the weights of earlier versions were called.
    """

    INPUT_LAYERS: ClassVar[tuple[str, ...]] = ()
    OPTIONAL: ClassVar[tuple[str, ...]] = ()
    ADDED: ClassVar[tuple[str, ...]] = ()
    ADAPTERS: ClassVar[tuple[str, ...]] = ()
    RENAMED: ClassVar[dict[str, str]] = {}

    latent_size: int
    action_size: int
    hidden_size: int

    def initial_state(self, batch_size: int) -> Any:
        """The `State` before the first step of a rollout."""
        raise NotImplementedError

    def step(self, z: Tensor, action: Tensor, state: Any) -> Any:
        """One step. z: (B, Z), action: (B, A) -> the next `State`."""
        raise NotImplementedError

    def unroll(self, z: Tensor, actions: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Steps in a row, from ``state`` or the initial one. z: (B, T, Z), actions: (B, T, A) -> h after every step
        (B, T, H), and the last `State`.
        """
        raise NotImplementedError

    def mixture(self, h: Tensor, z: Tensor) -> Mixture:
        """h: (..., H) after the step that was given z: (..., Z) -> mixtures of the next z (..., Z, K), in float32."""
        raise NotImplementedError


class Prediction(NamedTuple):
    """What M predicts after every step: the mixture of the next z, (B, T, Z, K) each; h (B, T, H); the last `State`."""

    mixture: Mixture
    h: Tensor
    state: Any


def predict(network: Memory, z: Tensor, actions: Tensor, state: Any = None) -> Prediction:
    """Steps in a row, from ``state`` or the initial one. z: (B, T, Z), actions: (B, T, A)."""
    h, last = network.unroll(z, actions, state)
    return Prediction(network.mixture(h, z), h, last)


class Heads(NamedTuple):
    """M's predictions of the reward and of the end, None each where M has no such head."""

    reward: Any
    end: Any


def heads_of(network: nn.Module) -> Heads:
    return Heads(getattr(network, "reward_head", None), getattr(network, "end_head", None))


def rebuilt(like: State, parts: Iterable[Tensor]) -> Any:
    """A state of the same kind as ``like``, of other tensors."""
    return type(like)._make(parts) if hasattr(like, "_make") else type(like)(parts)  # type: ignore[call-arg]


def take(state: State, rows: Tensor) -> Any:
    """The state of some rows of the batch: (B, ...) each, rows (n,) -> (n, ...) each."""
    return rebuilt(state, (part[rows] for part in state))


def put(state: State, rows: Tensor, new: State) -> Any:
    """The state with other values in some rows: (B, ...) each, rows (n,), new (n, ...) each -> (B, ...) each."""
    return rebuilt(state, (part.index_copy(0, rows, value) for part, value in zip(state, new, strict=True)))


def joined(states: Sequence[State]) -> Any:
    """The states of several batches as that of one: (B, ...) each -> (sum of B, ...) each."""
    return rebuilt(states[0], (torch.cat(column) for column in zip(*states, strict=True)))
