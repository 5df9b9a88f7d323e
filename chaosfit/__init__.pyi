# The one list of public names: `chaosfit.NAME` is imported from here when first used.
from .base import BaseDynamics as BaseDynamics
from .base import FlowDynamics as FlowDynamics
from .base import SamplesMixin as SamplesMixin
from .base import StepDynamics as StepDynamics
from .base import WindowDynamics as WindowDynamics
from .compose import NextStepRegressor as NextStepRegressor
from .compose import TransformedDynamics as TransformedDynamics
from .validation import stack_trajectories as stack_trajectories
