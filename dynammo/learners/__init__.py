"""Every way of learning a stream, by name: DynaMMo, ACL, their controls and the baselines.

Reading order: ``base``, ``adapter_chain`` (DynaMMo, ACL and controls, on one tuned chain),
``whole_network`` (the protocol of methods that train everything), then one file a method.
"""

from collections.abc import Sequence

from dynammo.chain import Chain
from dynammo.errors import InputError
from dynammo.learners.adapter_chain import (
    ACL,
    AdapterLearner,
    DynaMMo,
    DynaMMoUnifiedHead,
    FrozenFeatures,
    LastAdapter,
)
from dynammo.learners.base import FAMILIES, Learner
from dynammo.learners.der import DER
from dynammo.learners.der_plus_plus import DERPlusPlus
from dynammo.learners.dynammo_ridge import DynaMMoRidge
from dynammo.learners.ewc import EWC
from dynammo.learners.fine_tuning import FineTuning
from dynammo.learners.icarl import ICaRL
from dynammo.learners.joint import Joint
from dynammo.learners.lwf import LwF
from dynammo.learners.nearest_class_mean import NearestClassMean
from dynammo.learners.podnet import PODNet
from dynammo.learners.ranpac import RanPAC
from dynammo.learners.replay import Replay
from dynammo.learners.ucir import UCIR
from dynammo.learners.wa import WA
from dynammo.study import Study

# In the order that tables and figures show them: family by family.
LEARNERS: dict[str, type[Learner]] = {
    kind.name: kind
    for kind in (
        FineTuning,
        Joint,
        Replay,
        DERPlusPlus,
        LwF,
        ICaRL,
        WA,
        UCIR,
        PODNet,
        EWC,
        DER,
        ACL,
        FrozenFeatures,
        NearestClassMean,
        RanPAC,
        DynaMMo,
        DynaMMoUnifiedHead,
        DynaMMoRidge,
        LastAdapter,
    )
}


def check_methods(names: Sequence[str]) -> None:
    """Raise InputError for a name that is not in LEARNERS."""
    for name in names:
        if name not in LEARNERS:
            raise InputError(f"Unknown method '{name}': choose from {', '.join(LEARNERS)}.")


def adapter_methods(names: Sequence[str]) -> list[str]:
    """Those methods among some that are fed by a tuned chain of adapters."""
    check_methods(names)
    return [name for name in names if issubclass(LEARNERS[name], AdapterLearner)]


def make_adapter_learners(names: Sequence[str], chain: Chain) -> list[AdapterLearner]:
    """Those of some methods that adapters are for, all fed by one chain."""
    return [LEARNERS[name](chain) for name in adapter_methods(names)]


def make_learner(name: str, study: Study) -> Learner:
    """A learner by name; for DynaMMo and its like, ``study`` is a chain.

    Raises:
        InputError: a name that is not in LEARNERS.
    """
    check_methods([name])
    return LEARNERS[name](study)


__all__ = [
    "FAMILIES",
    "LEARNERS",
    "AdapterLearner",
    "Learner",
    "adapter_methods",
    "check_methods",
    "make_adapter_learners",
    "make_learner",
]
