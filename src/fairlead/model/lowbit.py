"""What needs bitsandbytes, which is not always installed."""

from typing import Any

from fairlead.core.errors import ModelError

_library: Any = None
try:
    import bitsandbytes

    _library = bitsandbytes
except ImportError:
    pass


def library(knob: str) -> Any:
    """bitsandbytes; raises ModelError with the command that installs it where `knob` asks for it in vain."""
    if _library is None:
        raise ModelError(f"{knob} needs bitsandbytes, which is not installed. Install it with: pip install 'fairlead[lowbit]'")
    return _library
