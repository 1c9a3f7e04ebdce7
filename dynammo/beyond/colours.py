"""A white balance: images whose colours are nearer to ImageNet's, whatever the backbone."""

import numpy as np
import torch

from dynammo.backbones import Backbone
from dynammo.stream import Images

IMAGENET_COLOUR = (0.485, 0.456, 0.406)  # mean RGB of its images, in 0..1


def shift_colours(backbone: Backbone, images: Images, share: float) -> None:
    """Move all images that a backbone sees by one colour, so that some come nearer to ImageNet's.

    The pink field of a microscope is no colour that the first layers were trained on. ``share`` 1
    moves the mean of ``images``, uint8 [N, H, W, 3], all the way, 0 not at all. The shift becomes
    part of the normalisation: three numbers, and no operation more for an image. Called again, it
    adds to what it did.
    """
    means = [images[i : i + 256].mean(axis=(1, 2)) for i in range(0, len(images), 256)]
    own = torch.as_tensor(np.concatenate(means).mean(axis=0) / 255)
    shift = share * (own - torch.tensor(IMAGENET_COLOUR))
    backbone.mean += shift.view(3, 1, 1).to(backbone.mean)
