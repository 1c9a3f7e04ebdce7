"""Batch norm in evaluation mode, a fixed scale and shift, folded into the convolution before it."""

import copy

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from dynammo.networks.efficientnet_lite0 import SamePaddedConv2d

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


def can_be_scaled(convolution: nn.Module) -> bool:
    """Whether a scale of its weights is one of its maps: it is torch's own, or only pads itself.

    One of another kind may bring its weights to a scale, or do more than convolve.
    """
    known = {nn.Conv2d, nn.ConvTranspose2d, SamePaddedConv2d}
    transposed = isinstance(convolution, nn.ConvTranspose2d)
    return type(convolution) in known and not (transposed and convolution.groups > 1)


class _Tracer(fx.Tracer):
    # Convolutions of our own stay whole as well; torch's layers do already.
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, CONVOLUTIONS) or super().is_leaf_module(m, module_qualified_name)


def fold_batch_norm(network: nn.Module) -> nn.Module | None:
    """A copy, equal up to rounding, its batch norms folded; None if it cannot be traced."""
    folded = copy.deepcopy(network).eval()
    try:
        nodes = [node for node in _Tracer().trace(folded).nodes if node.op == "call_module"]
    except Exception:  # whatever a forward does with what is no tensor
        return None
    targets = [node.target for node in nodes]
    for node in nodes:
        norm = folded.get_submodule(node.target)
        if not isinstance(norm, nn.BatchNorm2d) or norm.running_mean is None:
            continue
        before = node.all_input_nodes[0]
        if before.op != "call_module":
            continue
        convolution = folded.get_submodule(before.target)
        once = len(before.users) == targets.count(before.target) == targets.count(node.target) == 1
        if can_be_scaled(convolution) and once:
            transposed = isinstance(convolution, nn.ConvTranspose2d)
            joined = fuse_conv_bn_eval(convolution, norm, transpose=transposed)
            folded.set_submodule(before.target, joined)
            folded.set_submodule(node.target, nn.Identity())
    return folded
