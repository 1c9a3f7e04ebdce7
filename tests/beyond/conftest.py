"""A fixture of the ridge heads' tests: what they read, found by hand."""

import numpy as np
import pytest
import torch


@pytest.fixture(scope="session")
def what_the_head_reads():
    """Finds what a ridge head reads of images and their mirror images, by hooks of its own."""

    def read(chain, state, images):
        """The depths' vectors [2 N, D] in double precision."""
        network, backbone = chain.backbone.network, chain.backbone
        found, hooks = {}, []
        for name in ("stage4", "stage5", "stage6", "stage7"):

            def keep(_stage, _x, maps, name=name):
                found[name] = maps.flatten(2).mean(dim=2)

            hooks.append(network.get_submodule(name).register_forward_hook(keep))
        rows = []
        with torch.no_grad():
            for side in (images, images[:, :, ::-1]):
                found["last"] = chain.network(state)(backbone.normalise(side.copy()))
                depths = [found[name].numpy().astype(float) for name in sorted(found)]
                units = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in depths]
                rows.append(np.concatenate([*units[1:], units[0]], axis=1))  # "last" sorts first
        for hook in hooks:
            hook.remove()
        return np.concatenate(rows)

    return read
