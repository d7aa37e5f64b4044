"""Cache computed tensors in the project's `cache` folder, under the digest of everything that they depend
on.
"""

from collections.abc import Callable, Mapping
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from fairlead.core import digest, files
from fairlead.store.run import Run


def cached(
    run: Run, what: str, key: Mapping[str, Any], compute: Callable[[], dict[str, Tensor]]
) -> dict[str, Tensor]:
    """Return the cached tensors for `key`, or compute and cache them.  A damaged file is computed again.

    `what` names the subfolder.
    """
    name = digest.of_json(dict(key)).partition(":")[2]
    event: dict[str, Any] = {"what": what, "digest": name[:10]}
    path = run.project.cache / what / f"{name}.safetensors"
    if path.is_file():
        try:
            stored: dict[str, Tensor] = load_file(path)
        except (SafetensorError, OSError):
            path.unlink(missing_ok=True)  # another run may have deleted it
        else:
            run.event("cache", **event | {"found": True})
            return stored
    tensors = {tensor_name: tensor.detach().cpu().contiguous() for tensor_name, tensor in compute().items()}
    with files.atomic_file(path) as file:
        file.write(save(tensors))
    run.event("cache", **event | {"found": False})
    return tensors
