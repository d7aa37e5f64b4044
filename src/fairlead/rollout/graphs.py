"""One step of all slots, and on a GPU the same step recorded.  S slots, V vocabulary.

A step is some hundred small kernels, which take longer to start one by one than to run.  A CUDA graph starts them all at once, but always
with the same shapes and the same memory: the step's width is rounded up to WIDTH columns, of which each slot looks at its own only, and
a step is recorded anew when the width passes the next multiple or the cache has moved.  Nothing recorded outlives one call of `sample`.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from transformers import Cache, PreTrainedModel

from fairlead.forward import decoder
from fairlead.rollout.slots import Slots

WIDTH = 256  # columns; finer steps are recorded more often, coarser ones read more that is masked
AGREE = 0.01  # of the largest logit: as far as a recorded step's may be from its own, which differ by rounding at most

Step = Callable[[Tensor], Tensor]  # the newest token of each slot [S] -> logits of the next [S, V]


def stepper(network: PreTrainedModel, slots: Slots, cache: Cache) -> Step:
    """How steps are made on the device of the slots."""
    if slots.lengths.device.type == "cuda":
        return fixed(network, slots, cache, record=recorded)
    return lambda current: decode(network, slots, cache, current, slots.columns_for(slots.longest + 1))


def decode(network: PreTrainedModel, slots: Slots, cache: Cache, current: Tensor, width: int) -> Tensor:
    """Write each slot's newest token into its cache and ask for the next.  [S] -> [S, V]"""
    output = network(
        input_ids=current[:, None],
        attention_mask=decoder.convert_mask(network, slots.step_mask(width)),
        position_ids=slots.lengths[:, None],
        past_key_values=cache,
        use_cache=True,
    )
    logits: Tensor = output.logits
    return logits[:, -1]


def fixed(
    network: PreTrainedModel,
    slots: Slots,
    cache: Cache,
    *,
    record: Callable[[Callable[[], Tensor]], Callable[[], Tensor]],
) -> Step:
    """Steps of few shapes, each given to `record` once; what it returns is called in the place of the step."""
    made: dict[tuple[int, ...], tuple[Tensor, Callable[[], Tensor]]] = {}

    def step(current: Tensor) -> Tensor:
        width = min(-(-(slots.longest + 1) // WIDTH) * WIDTH, slots.capacity)
        slots.step_mask(width)  # what it allocates must not be part of a recording
        places = slots.addresses()
        if (width, *places) not in made:
            for gone in [key for key in made if key[1:] != places]:
                del made[gone]
            given = current.clone()
            made[(width, *places)] = given, record(lambda: decode(network, slots, cache, given, width))
        given, replay = made[(width, *places)]
        given.copy_(current)
        return replay()

    return step


def recorded(run: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """`run` as a CUDA graph, or as it is where it cannot be recorded: where it waits for the device, as mixtures of experts do.

    It may be run again and again: a step writes the same tokens into the same places until the slots' lengths change.
    """
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    waiting = torch.cuda.get_sync_debug_mode()
    try:
        with torch.cuda.stream(side):
            run()  # libraries prepare themselves in a first call
            torch.cuda.set_sync_debug_mode("error")
            expected = run().clone()
    except RuntimeError:
        return run
    finally:
        torch.cuda.set_sync_debug_mode(waiting)
        torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        logits = run()
    graph.replay()
    if not float((logits - expected).abs().max()) <= AGREE * float(expected.abs().max()):
        return run

    def replay() -> Tensor:
        graph.replay()
        return logits

    return replay
