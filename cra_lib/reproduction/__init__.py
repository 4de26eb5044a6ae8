"""From a dataset's name to its report: what will run (`plan`) and how it runs (`run`)."""

from cra_lib.reproduction.plan import Plan
from cra_lib.reproduction.planning import make_plan
from cra_lib.reproduction.run import run_plan

__all__ = ["Plan", "make_plan", "run_plan"]
