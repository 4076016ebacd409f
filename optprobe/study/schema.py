"""What a study file may hold. Loaded on use only: pydantic is optional (`reading.py`)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from optprobe.features.sampling import LIMIT, RATIO
from optprobe.heuristics import get_heuristic

EXACT = ("bnb", "oa", "oa-plain")
"""Exact methods that need no more settings; outer approximation runs on HiGHS."""

RANGE = re.compile(r"\s*(\d+)\s*:\s*(\d+)\s*")


def _numbers(value: Any) -> Any:
    """ "1:4" (both ends included), a number or a list, as a list."""
    if isinstance(value, int) and not isinstance(value, bool):
        return [value]
    if isinstance(value, str):
        found = RANGE.fullmatch(value)
        if found is None or int(found[2]) < int(found[1]):
            raise ValueError(f"{value!r} is no range; write a number, 1:4 or [1, 2, 4]")
        return list(range(int(found[1]), int(found[2]) + 1))
    return value


def _layers(value: Any) -> Any:
    """As `_numbers`, or "all"."""
    if value == "all":
        return None
    if isinstance(value, str) and RANGE.fullmatch(value) is None:
        raise ValueError(f"{value!r} names no layers; write all, a number, 0:29 or [3, 12]")
    return _numbers(value)


def _increasing(values: tuple[int, ...] | None) -> tuple[int, ...] | None:
    return None if values is None else tuple(sorted(set(values)))


def _hook(value: str) -> str:
    if "{l}" not in value:
        raise ValueError(f"{value!r} names one layer; write {{l}} in its place")
    return value


def _method(value: str) -> str:
    if value not in EXACT:
        try:
            get_heuristic(value)
        except ValueError as error:
            raise ValueError(f"{error}; or an exact one: {', '.join(EXACT)}") from error
    return value


def _candidates(value: Any) -> Any:
    return None if value == "all" else value


class Section(BaseModel):
    """A part of the file: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Sampling(Section):
    """Which labelled rows of a feature are used, and which of them are held out.

    Attributes:
        ratio: largest share of positive rows.
        limit: largest number of rows; None for no limit.
        skip_first: token positions at the beginning of a text that are left out; by default what
            the feature asks for: 5, and 0 where the feature is the position.
        test_size: share of the rows held out, whole documents.
        seed: of the draws.
    """

    ratio: Annotated[float, Field(gt=0, lt=1)] = RATIO
    limit: Annotated[int, Field(ge=4)] | None = LIMIT
    skip_first: Annotated[int, Field(ge=0)] | None = None
    test_size: Annotated[float, Field(gt=0, lt=1)] = 0.3
    seed: Annotated[int, Field(ge=0)] = 0


class Budget(Section):
    """When to stop.

    Attributes:
        seconds_per_k: of each exact solve; null for no limit.
        seconds: of all probes of one run together; null for no limit. What is left over is done
            by the next run of the same command.
        gap: relative, at which a probe counts as solved.
    """

    seconds_per_k: Annotated[float, Field(gt=0)] | None = 60.0
    seconds: Annotated[float, Field(gt=0)] | None = None
    gap: Annotated[float, Field(ge=0)] = 1e-4


class Study(Section):
    """A study: which model, layers and features, and how they are probed.

    Attributes:
        model: as `optprobe capture` takes it.
        features: collection/feature, as `optprobe features` lists them; a .csv or .jsonl file of
            texts with labels or spans; or a function, "module:function" or "file.py:function".
        folder: where collections look for their sources. This and the files above are relative
            to the study file.
        layers: increasing numbers; None ("all" in the file) for every layer.
        hook: hook point with {l} for the layer.
        revision, door, device, dtype, aggregation, batch_tokens, max_tokens: of the capture.
        k, ridge, loss: of the probes.
        method: an exact method, or a heuristic's name.
        candidates: columns kept by mean difference first; None ("all") keeps all.
        sampling, budget: sections of their own.
    """

    model: Annotated[str, Field(min_length=1)]
    features: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]
    folder: Path | None = None
    layers: Annotated[
        tuple[Annotated[int, Field(ge=0)], ...] | None,
        AfterValidator(_increasing),
        BeforeValidator(_layers),
    ] = None
    hook: Annotated[str, AfterValidator(_hook)] = "blocks.{l}.mlp.hook_post"
    revision: str | None = None
    door: Literal["bridge", "hooks", "nnsight"] = "bridge"
    device: str = "cpu"
    dtype: Literal["float16", "float32"] = "float16"
    aggregation: Literal["token", "mean", "max", "last"] = "token"
    batch_tokens: Annotated[int, Field(ge=1)] = 2048
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    k: Annotated[
        tuple[Annotated[int, Field(ge=1)], ...],
        Field(min_length=1),
        AfterValidator(_increasing),
        BeforeValidator(_numbers),
    ]
    ridge: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.1
    loss: Literal["logistic", "hinge", "squared_hinge"] = "logistic"
    method: Annotated[str, AfterValidator(_method)] = "bnb"
    candidates: Annotated[Annotated[int, Field(ge=1)] | None, BeforeValidator(_candidates)] = None
    sampling: Sampling = Sampling()
    budget: Budget = Budget()

    @property
    def exact(self) -> bool:
        """Whether the method gives bounds."""
        return self.method in EXACT
