"""Batch norm in evaluation mode, a fixed scale and shift, folded into the convolution before it."""

import copy

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from dynammo.networks.efficientnet_lite0 import SamePaddedConv2d

# Their maps scale as their weights do. A subclass may bring weights to a scale, or do more.
CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d, SamePaddedConv2d)


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
        layer = folded.get_submodule(before.target if before.op == "call_module" else "")
        once = len(before.users) == targets.count(before.target) == targets.count(node.target) == 1
        transposed = isinstance(layer, nn.ConvTranspose2d)  # which torch does not join in groups
        if type(layer) in CONVOLUTIONS and once and not (transposed and layer.groups > 1):
            folded.set_submodule(before.target, fuse_conv_bn_eval(layer, norm, transposed))
            folded.set_submodule(node.target, nn.Identity())
    return folded
