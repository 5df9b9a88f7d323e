# The one list of public names: `chaosfit.NAME` is imported from here when first used.
__version__: str

from .analysis.delay_embedding import DelayEmbedding as DelayEmbedding
from .base import BaseDynamics as BaseDynamics
from .base import FlowDynamics as FlowDynamics
from .base import SamplesMixin as SamplesMixin
from .base import StepDynamics as StepDynamics
from .base import WindowDynamics as WindowDynamics
from .bridges.sktime import DynamicsForecaster as DynamicsForecaster
from .bridges.sktime import to_series as to_series
from .compose import NextStepRegressor as NextStepRegressor
from .compose import TransformedDynamics as TransformedDynamics
from .methods.baselines.climatology import Climatology as Climatology
from .methods.baselines.context_parroting import ContextParroting as ContextParroting
from .methods.baselines.drift import Drift as Drift
from .methods.baselines.linear_autoregression import LinearAutoregression as LinearAutoregression
from .methods.baselines.local_analogues import LocalAnalogues as LocalAnalogues
from .methods.baselines.persistence import Persistence as Persistence
from .methods.discovery.rvm import RVMRegressor as RVMRegressor
from .methods.discovery.sindy import SINDy as SINDy
from .methods.reservoir.ngrc import NGRC as NGRC
from .methods.reservoir.reservoir_computer import ReservoirComputer as ReservoirComputer
from .metrics.attractor import power_spectrum_hellinger as power_spectrum_hellinger
from .metrics.attractor import state_space_divergence as state_space_divergence
from .metrics.forecast import nrmse as nrmse
from .metrics.forecast import smape as smape
from .metrics.forecast import valid_time as valid_time
from .report.comparison import compare as compare
from .systems.delays import MackeyGlass as MackeyGlass
from .systems.flows import Lorenz63 as Lorenz63
from .systems.flows import Lorenz96 as Lorenz96
from .systems.flows import Rossler as Rossler
from .systems.maps import Henon as Henon
from .systems.maps import Logistic as Logistic
from .systems.pdes import KuramotoSivashinsky as KuramotoSivashinsky
from .validation import stack_trajectories as stack_trajectories
