"""The design matrix: standardised activations behind one small interface."""

from optprobe.matrix.dense import DenseMatrix
from optprobe.matrix.protocol import DesignMatrix
from optprobe.matrix.source import RowSource
from optprobe.matrix.standardise import NotFiniteError, Standardisation
from optprobe.matrix.streamed import StreamedMatrix

__all__ = [
    "DenseMatrix",
    "DesignMatrix",
    "NotFiniteError",
    "RowSource",
    "Standardisation",
    "StreamedMatrix",
]
