"""Every way of learning a stream, by name: DynaMMo, ACL, their controls and the baselines.

Reading order: ``base``, ``adapter_chain`` (DynaMMo, ACL and controls, on one tuned chain),
``whole_network`` (the protocol of methods that train everything), then one file a method.
"""

from collections.abc import Sequence

from dynammo.baselines.der import DER
from dynammo.baselines.der_plus_plus import DERPlusPlus
from dynammo.baselines.ewc import EWC
from dynammo.baselines.fine_tuning import FineTuning
from dynammo.baselines.icarl import ICaRL
from dynammo.baselines.joint import Joint
from dynammo.baselines.lwf import LwF
from dynammo.baselines.nearest_class_mean import NearestClassMean
from dynammo.baselines.podnet import PODNet
from dynammo.baselines.ranpac import RanPAC
from dynammo.baselines.replay import Replay
from dynammo.baselines.ucir import UCIR
from dynammo.baselines.wa import WA
from dynammo.beyond.dynammo_ridge import DynaMMoRidge
from dynammo.chain import Chain
from dynammo.errors import InputError
from dynammo.learner import FAMILIES, Learner
from dynammo.methods import (
    ACL,
    AdapterLearner,
    DynaMMo,
    DynaMMoUnifiedHead,
    FrozenFeatures,
    LastAdapter,
)
from dynammo.setup import Study

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
