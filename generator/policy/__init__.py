"""Policies (`policies/*.yaml`): ValidatingAdmissionPolicies, read, checked and evaluated as an API server would.

The files are the ones that a cluster gets. What this package cannot judge as the API server does, it names, so that
nobody takes "not looked at" for "passed".
"""

from generator.policy.admission import Admission
from generator.policy.compiler import NOT_EVALUATED
from generator.policy.judge import Judge, Refusal, compile_policies
from generator.policy.source import FOLDER, Policies, Policy, read_policies

__all__ = [
    "FOLDER",
    "NOT_EVALUATED",
    "Admission",
    "Judge",
    "Policies",
    "Policy",
    "Refusal",
    "compile_policies",
    "read_policies",
]
