"""``platform export``: one adapter or transfer as a folder that AdapterHub or PEFT loads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from adapterlab.cli.options import BackboneNowOption, JsonOption
from adapterlab.cli.output import emit, emit_json

if TYPE_CHECKING:
    from adapterlab.exporting.draft import Exported


def command(
    key: Annotated[
        str, typer.Argument(metavar="KEY", help="Key of an adapter or a transfer, or its first digits.")
    ],
    to: Annotated[
        str, typer.Option("--to", metavar="DIR", help="The folder to make; may exist if it is empty.")
    ],
    tolerance: Annotated[
        float,
        typer.Option(
            min=0.0, help="Leave a source out of a layer where none of its coefficients is greater than this."
        ),
    ] = 0.0,
    backbone: BackboneNowOption = None,
    name: Annotated[str | None, typer.Option(help="The adapter's name inside AdapterHub.")] = None,
    license_name: Annotated[
        str, typer.Option("--license", metavar="ID", help="Licence of the model card, as the hub writes it.")
    ] = "unknown",
    base_model: Annotated[
        str | None, typer.Option(metavar="NAME", help="The backbone's name in the model card.")
    ] = None,
    pickles: Annotated[
        bool,
        typer.Option("--bin", help="Also write .bin files, for load_adapter() without use_safetensors=True."),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Write an adapter or a transfer for other libraries, with its head, model card and self-test.

    A transfer is folded: its sources and coefficients become one adapter that computes the same, for
    AdapterHub or (LoRA) for PEFT. An AdapterFusion keeps its sources apart. The folder appears when it
    is whole and its logits are those of what was trained.
    """
    from adapterlab.api import export

    exported = export(
        key,
        to,
        tolerance=tolerance,
        backbone=backbone,
        name=name,
        license=license_name,
        base_model=base_model,
        pickles=pickles,
    )
    if json:
        emit_json(exported.to_json())
        return
    _show(exported, pickles=pickles)


_LOADED = {
    "adapterhub": 'model.load_adapter("{folder}"{option}, set_active=True)   in AdapterHub\'s adapters',
    "adapterhub-fusion": 'model.load_adapter_setup("{folder}"{option}, set_active=True)   in AdapterHub\'s adapters',
    "peft": 'PeftModel.from_pretrained(model, "{folder}")   in PEFT',
}


def _show(exported: Exported, *, pickles: bool) -> None:
    emit(f"{exported.kind} {exported.key[:12]} ({exported.task}) -> {exported.folder}")
    emit(f"  {_what(exported)}, {exported.parameters:,} parameters")
    if exported.kind == "transfer":
        how = "attends to" if exported.format == "adapterhub-fusion" else "folded from"
        emit(f"  {how:<12} {', '.join(exported.sources)}")
    if exported.largest_dropped > 0:
        left = ", ".join(exported.dropped) or "none in every layer"
        emit(
            f"  left out     coefficients up to {exported.largest_dropped:.3g}; sources left out altogether: {left}"
        )
    emit(f"  checked      logits of the self-test differ by {exported.difference:.1e} from what was trained")
    option = "" if pickles else ", use_safetensors=True"
    emit("")
    emit("Next:")
    emit(f"  {_LOADED[exported.format].format(folder=exported.folder, option=option)}")
    where = "" if exported.backbone else " --backbone SOURCE"
    emit(f'  platform predict {exported.folder}{where} --text "…"')


def _what(exported: Exported) -> str:
    if exported.format == "adapterhub-fusion":
        return f"fusion       {exported.name}, of {len(exported.sources)} adapters"
    widths = sorted(set(exported.widths))
    width = str(widths[0]) if len(widths) == 1 else f"{widths[0]} to {widths[-1]}"
    kind = "LoRA         {}, rank {}" if exported.format == "peft" else "adapter      {}, bottleneck {}"
    return kind.format(exported.name, width)
