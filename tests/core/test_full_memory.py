import pytest

from fairlead.core.full_memory import describe_full_memory


class OutOfMemoryError(RuntimeError):
    """As torch names it."""


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            RuntimeError(
                "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: "
                "you tried to allocate 25769803776 bytes. Error code 12 (Cannot allocate memory)"
            ),
            "The memory is full: 24.0 GiB more were needed. Close",
        ),
        (
            OutOfMemoryError("CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of"),
            "The GPU's memory is full: 2.50 GiB more were needed. Close",
        ),
        (MemoryError(), "The memory is full. Close"),
        (OSError(12, "Cannot allocate memory"), "The memory is full. Close"),
    ],
)
def test_full_memory_is_said_with_a_remedy(error: Exception, message: str) -> None:
    described = describe_full_memory(error)
    assert described is not None
    assert described.startswith(message)
    assert "hardware.gradient_checkpointing=true" in described


def test_another_error_is_no_full_memory() -> None:
    assert describe_full_memory(RuntimeError("element 0 of tensors does not require grad")) is None
