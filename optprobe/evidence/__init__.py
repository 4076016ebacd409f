"""Evidence on single neurons: activations by class, contexts, ablation, output weights."""

from optprobe.evidence.ablation import Effect
from optprobe.evidence.api import Evidence, neuron_evidence
from optprobe.evidence.contexts import Context
from optprobe.evidence.files import write_evidence
from optprobe.evidence.histogram import Histogram
from optprobe.evidence.model import LanguageModel, open_model
from optprobe.evidence.parts import Neuron
from optprobe.evidence.unembedding import TokenLogit

__all__ = [
    "Context",
    "Effect",
    "Evidence",
    "Histogram",
    "LanguageModel",
    "Neuron",
    "TokenLogit",
    "neuron_evidence",
    "open_model",
    "write_evidence",
]
