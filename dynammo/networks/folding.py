"""Batch norm of a network that no longer learns, folded into the convolutions before it.

In evaluation mode batch norm is a fixed scale and shift per channel, so the convolution before it
can do both: the same function, with fewer and shorter steps.
"""

from __future__ import annotations

import copy

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


class _Tracer(fx.Tracer):
    # Convolutions of our own stay whole as well; torch's layers do already.
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, CONVOLUTIONS) or super().is_leaf_module(m, module_qualified_name)


def fold_batch_norm(network: nn.Module) -> nn.Module:
    """A copy of a network in evaluation mode, equal up to rounding, with batch norm folded away.

    Module names stay, so that stages can still be found: a folded batch norm is an identity. One
    is folded where its input is a convolution's output that nothing else reads.

    Args:
        network: one that :mod:`torch.fx` can trace: no decisions that depend on the images.
    """
    folded = copy.deepcopy(network).eval()
    nodes = [node for node in _Tracer().trace(folded).nodes if node.op == "call_module"]
    targets = [node.target for node in nodes]
    for node in nodes:
        norm, before = folded.get_submodule(node.target), node.args[0]
        if not isinstance(norm, nn.BatchNorm2d) or before.op != "call_module":
            continue
        convolution = folded.get_submodule(before.target)
        once = len(before.users) == targets.count(before.target) == targets.count(node.target) == 1
        if isinstance(convolution, CONVOLUTIONS) and once:
            transposed = isinstance(convolution, nn.ConvTranspose2d)
            joined = fuse_conv_bn_eval(convolution, norm, transpose=transposed)
            folded.set_submodule(before.target, joined)
            folded.set_submodule(node.target, nn.Identity())
    return folded
