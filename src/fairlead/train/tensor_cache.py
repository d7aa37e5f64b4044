"""Tensors that can be computed again, kept in the project's `cache` folder under the digest of all that they depend on."""

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
    """What `compute` returns, from the disk where it was computed before for an equal `key`.  A file that is damaged is made again."""
    name = digest.of_json(dict(key)).partition(":")[2]
    path = run.project.cache / what / f"{name}.safetensors"
    if path.is_file():
        try:
            found: dict[str, Tensor] = load_file(path)
        except (SafetensorError, OSError):
            path.unlink()
        else:
            run.event("cache", what=what, digest=name[:10], found=True)
            return found
    made = {tensor_name: tensor.detach().cpu().contiguous() for tensor_name, tensor in compute().items()}
    with files.atomic_file(path) as file:
        file.write(save(made))
    run.event("cache", what=what, digest=name[:10], found=False)
    return made
