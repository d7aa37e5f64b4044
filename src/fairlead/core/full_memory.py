"""Say that the memory of the machine or of its GPU is full.

torch reports this as a RuntimeError of the CPU's allocator or as an OutOfMemoryError of a GPU.
"""

import re

REMEDY = (
    "Close other programs, or lower what the command needs: a smaller batch, hardware.micro_tokens or "
    "adapter.rank, shorter answers, hardware.gradient_checkpointing=true, or a smaller model."
)


def describe_full_memory(error: BaseException) -> str | None:
    """One message if the error means that there is no memory left, else None."""
    text = str(error)
    # torch is not imported here: commands without models never load it
    on_gpu = type(error).__name__ == "OutOfMemoryError" or "CUDA out of memory" in text
    on_cpu = isinstance(error, MemoryError) or re.search(r"DefaultCPUAllocator|(can't|Cannot) allocate", text)
    if not (on_gpu or on_cpu):
        return None
    needed = re.search(r"[Tt]ried to allocate (\d+) bytes", text)
    size = re.search(r"[Tt]ried to allocate ([\d.]+ [KMGT]iB)", text)
    needed_size = f"{int(needed[1]) / 2**30:.1f} GiB" if needed else size[1] if size else ""
    where = "The GPU's memory" if on_gpu else "The memory"
    return f"{where} is full{f': {needed_size} more were needed' if needed_size else ''}. {REMEDY}"
