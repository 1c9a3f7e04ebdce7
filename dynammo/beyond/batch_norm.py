"""What becomes of batch norm's statistics when adapter sets are merged.

They were measured on one set's own maps; under merged weights the maps are others. Three answers:
average what each set measured (:func:`dynammo.merging.uniform_mean` does), average it as the
statistics of a mixture, or measure again.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dynammo.adapters import AdaptedNetwork
from dynammo.errors import InputError
from dynammo.merging import StateDict, check_same_layout
from dynammo.stream import Images


def mixture_variance(states: Sequence[StateDict], merged: StateDict) -> dict[str, Tensor]:
    """Replace each averaged variance by mean(var + mean^2) - (mean of means)^2.

    That is the variance of all sessions' values together. The plain average of variances leaves out
    how far the sessions' means are apart, so it is never larger. ``states`` were merged to
    ``merged``, of which a copy with other variances is returned.
    """
    check_same_layout([*states, merged] if states else states)
    result = {name: tensor.clone() for name, tensor in merged.items()}
    for name in (name for name in merged if name.endswith("running_var")):
        mean_name = name.removesuffix("var") + "mean"
        if mean_name not in merged:
            raise InputError(f"There is '{name}' and no '{mean_name}': average the statistics.")
        means = torch.stack([state[mean_name].double() for state in states])
        variances = torch.stack([state[name].double() for state in states])
        spread = means.var(0, correction=0)  # never under 0, as a difference of squares can be
        result[name] = (variances.mean(0) + spread).to(merged[name].dtype)
    return result


@torch.no_grad()
def measure_again(network: AdaptedNetwork, images: Images, batch_size: int = 32) -> None:
    """Set the adapters' statistics to those of some images under the network as it is, in place.

    Statistics of a layer depend on the layers before it, so they are measured with each layer
    normalising by its own batch, as in training. torch's ``swa_utils.update_bn`` does the same to
    every batch norm of a model; the frozen backbone's must stay. InputError for fewer than two
    images (uint8 [N, H, W, 3], for example the balanced memory), which have no variance.
    """
    if len(images) < 2:
        raise InputError(f"{len(images)} image(s) have no variance: pass at least two.")
    norms = [m for m in network.adapters.modules() if isinstance(m, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
        norm.train()
    # Batches weigh the same in the mean, so they are equally large, give or take one. Every n-th
    # image goes into the same one: batches of one class would miss how far classes are apart.
    number = min(max(1, round(len(images) / batch_size)), len(images) // 2)
    for first in range(number):
        network(network.backbone.normalise(images[first::number]))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()
