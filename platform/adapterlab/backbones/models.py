"""What is known of other models than the backbone, which some combiners read: their digests, their folder.

Unlike a backbone such a model may be of any architecture that transformers loads from safetensors.
"""

from __future__ import annotations

from pathlib import Path

from adapterlab.backbones.facts import config_digest, model_folder, no_weights, tokenizer_digest
from adapterlab.backbones.weight_files import weight_files, weights_digest
from adapterlab.records import BackboneFacts


def model_facts(source: str, *, folder: Path, cache: Path, download: bool) -> BackboneFacts:
    """Return what is known of a model; digests stay ``None`` while it is not on this machine.

    Args:
        source: ``package:<pip name>``, ``folder:<path>`` or ``hub:<owner/name>@<commit>``.
        folder: Folder of the spec; ``folder:`` paths are relative to it.
        cache: Folder of this machine's caches.
        download: Fetch a hub model that is not in the local Hugging Face cache.

    Raises:
        NotFoundError: The package, folder, repository or revision does not exist.
        UnavailableError: The hub cannot be reached, refuses for now, or sent half a file.
        BackboneError: It has no safetensors weights, config or tokenizer.
    """
    name, _, revision = source.partition("@") if source.startswith("hub:") else (source, "", "")
    place = model_folder(name, revision or None, folder=folder, cache=cache, download=download)
    unknown = BackboneFacts(
        source=source,
        architecture=None,
        shape=None,
        weights_digest=None,
        tokenizer_digest=None,
        config_digest=None,
        folder=None,
        pending_reason=f"{source} is not in the local Hugging Face cache; `platform submit` fetches it",
    )
    if place is None:
        return unknown
    files = weight_files(place)
    if not files:
        raise no_weights(place)
    return BackboneFacts(
        source=source,
        architecture=None,
        shape=None,
        weights_digest=weights_digest(files, cache),
        tokenizer_digest=tokenizer_digest(place, cache),
        config_digest=config_digest(place),
        folder=str(place),
    )
