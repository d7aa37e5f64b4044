"""One decoding step of all slots, recorded as a CUDA graph on a GPU.  S slots, V vocabulary.

A decoding step is some hundred small kernels, and starting them one by one takes longer than running them.  A
CUDA graph starts them all at once, but always with the same shapes and the same memory.  The step's width is
therefore rounded up to a multiple of WIDTH, with the extra columns masked, and a step is recorded again when
the width passes the next multiple or the cache moves.  Recordings live for one call of `sample`.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from transformers import Cache, PreTrainedModel

from fairlead.forward import decoder
from fairlead.rollout.slots import Slots

# Columns.  A smaller multiple records more often, a larger one reads more masked columns.
WIDTH = 256

# A recorded step may differ from the plain one by this share of the largest logit; a correct recording
# differs by rounding only.
TOLERANCE = 0.01

DecodeStep = Callable[[Tensor], Tensor]  # the newest token of each slot [S] -> logits of the next [S, V]


def make_decode_step(network: PreTrainedModel, slots: Slots, cache: Cache) -> DecodeStep:
    """The decoding step for the device of the slots."""
    if slots.lengths.device.type == "cuda":
        return make_fixed_shape_step(network, slots, cache, record=record_graph)
    return lambda newest: decode(network, slots, cache, newest, slots.columns_for(slots.longest + 1))


def decode(network: PreTrainedModel, slots: Slots, cache: Cache, newest: Tensor, width: int) -> Tensor:
    """Write each slot's newest token to its cache, and return the logits of the next.  [S] -> [S, V]"""
    output = network(
        input_ids=newest[:, None],
        attention_mask=decoder.convert_mask(network, slots.step_mask(width)),
        position_ids=slots.lengths[:, None],
        past_key_values=cache,
        use_cache=True,
    )
    logits: Tensor = output.logits
    return logits[:, -1]


def make_fixed_shape_step(
    network: PreTrainedModel,
    slots: Slots,
    cache: Cache,
    *,
    record: Callable[[Callable[[], Tensor]], Callable[[], Tensor]],
) -> DecodeStep:
    """A decoding step with few distinct shapes.  Each shape is given to `record` once, and the result is
    called from then on.
    """
    # (width, *addresses) -> the input of the recording, and the recording
    recordings: dict[tuple[int, ...], tuple[Tensor, Callable[[], Tensor]]] = {}

    def step(newest: Tensor) -> Tensor:
        width = min(-(-(slots.longest + 1) // WIDTH) * WIDTH, slots.capacity)
        slots.step_mask(width)  # allocates, which must not become part of a recording
        addresses = slots.addresses()
        key = (width, *addresses)
        if key not in recordings:
            for outdated in [other for other in recordings if other[1:] != addresses]:
                del recordings[outdated]
            static_input = newest.clone()
            recordings[key] = (
                static_input,
                record(lambda: decode(network, slots, cache, static_input, width)),
            )
        recorded_input, replay = recordings[key]
        recorded_input.copy_(newest)
        return replay()

    return step


def record_graph(run: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """`run` as a CUDA graph; `run` itself if it cannot be recorded because it waits for the device, as
    mixtures of experts do.

    `run` may be called several times: a step writes the same tokens to the same places until the slots'
    lengths change.
    """
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    sync_debug_mode = torch.cuda.get_sync_debug_mode()
    try:
        with torch.cuda.stream(side):
            run()  # libraries initialise in the first call
            torch.cuda.set_sync_debug_mode("error")
            expected = run().clone()
    except RuntimeError:
        return run
    finally:
        torch.cuda.set_sync_debug_mode(sync_debug_mode)
        torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        logits = run()
    graph.replay()
    # `not ... <=` also refuses NaN.
    if not float((logits - expected).abs().max()) <= TOLERANCE * float(expected.abs().max()):
        return run

    def replay() -> Tensor:
        graph.replay()
        return logits

    return replay
