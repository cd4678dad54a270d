"""What the gradient does on its way back through time, in numbers and pictures."""

from symrnn.flow.measure import Curve, Flow, Progress, measure

__all__ = ["Curve", "Flow", "Progress", "measure"]
