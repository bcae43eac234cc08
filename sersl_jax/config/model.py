"""The network's fields, and the kinds of values of all fields; see `sersl_jax.config`."""

from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar

from pydantic import Field

Count = Annotated[int, Field(ge=1, lt=2**31)]
Natural = Annotated[int, Field(ge=0, lt=2**31)]  # 0 turns a field off
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Rate = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(gt=0, lt=1)]
T = TypeVar("T")
Free = Annotated[T, "free"]  # changes no results: may differ from start to start of a run


class Checked:
    """A name that is no field is refused."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012


@dataclass(frozen=True)
class DropoutConfig(Checked):
    """Probabilities that an activation is zeroed."""

    conv: Rate = 0.1  # after each convolution, where `model.embed` is "conv"
    embedding: Rate = 0.25  # on entering each stack (Sec. 4.3)
    output: Rate = 0.0  # on what each stack gives
    residual: Rate = 0.1  # Sec. 4.3
    attention: Rate = 0.1
    ffn: Rate = 0.1
    head: Rate = 0.2


@dataclass(frozen=True)
class Wav2Vec2Config(Checked):
    """wav2vec 2.0 (Sec. 4.3; fairseq's base model); used where `model.embed` is "waveform"."""

    conv_widths: Annotated[tuple[Count, ...], Field(min_length=7, max_length=7)] = (512,) * 7
    gradient_scale: NotNegative = 0.1  # of the gradient into the convolutions
    groups: Count = 2
    entries: Count = 320  # of each group's codebook
    code_dim: Count = 256  # of both groups' entries side by side
    contrast_dim: Count = 256  # where predictions meet codes
    mask_probability: Share = 0.065  # that a span starts at a frame
    mask_length: Count = 10  # frames
    min_spans: Natural = 2
    num_negatives: Count = 100
    temperature: tuple[Positive, Positive, Positive] = (2.0, 0.5, 0.999995)  # first, last, decay


@dataclass(frozen=True)
class ConvConfig(Checked):
    """Convolutions over averaged LLD frames; used where `model.embed` is "conv"."""

    stride: Annotated[Count, Field(le=1000)] = 4  # frames that are averaged into one
    center: bool = True  # subtracts each clip's own mean: less of the microphone is left
    kernels: tuple[Annotated[Count, Field(le=1000)], ...] = (5, 3, 3)  # averaged frames
    # voice: pitch, its quality, zero crossings and MFCCs alone, which depend least on microphones
    descriptors: Literal["all", "voice"] = "all"
    loudest: Annotated[float, Field(gt=0, le=1)] = 1.0  # share of a clip's frames that are read


@dataclass(frozen=True)
class ModelConfig(Checked):
    """The network (Fig. 2, Sec. 3.4)."""

    # llds: the paper's | conv: convolutions over LLDs | waveform: wav2vec 2.0's convolutions
    embed: Literal["llds", "conv", "waveform"] = "llds"
    # paper: both stacks | base: wav2vec 2.0's own layers (published weights) | none
    context: Literal["paper", "base", "none"] = "paper"
    input_projection: bool = True  # Eq. 1's E
    embed_scale: bool = True  # x sqrt(dim) on entering each stack
    positions: Literal["sinusoidal", "none"] = "sinusoidal"  # first stack only (Eq. 1)
    dim: Count = 130  # Sec. 4.2
    num_layers: Count = 5  # a stack (Sec. 4.3)
    num_heads: Count = 10  # Sec. 4.3
    ffn_dim: Count = 520
    # free: alpha and beta (Sec. 3.4) | tied: beta = 1 - alpha | plain
    residual: Literal["free", "tied", "plain"] = "free"
    # At first: one: alpha = beta = 1 | uniform: alpha ~ U(0, 1), beta = 1 - alpha, with which half
    # of the trainings failed (docs/experiments.md)
    alpha_init: Literal["one", "uniform"] = "one"
    causal: bool = False  # "accepts input sequences in parallel" (Sec. 3.4)
    # statistics: mean and SD | attention: mean with learnt weights of the frames
    pooling: Literal["mean", "last", "statistics", "attention"] = "mean"
    dropout: DropoutConfig = DropoutConfig()
    conv: ConvConfig = ConvConfig()
    wav2vec2: Wav2Vec2Config = Wav2Vec2Config()

    def __post_init__(self):
        """Refuses widths that do not fit, and what the chosen layers cannot do."""
        width = f"config.model.dim={self.dim}"
        if self.dim % self.num_heads:
            raise ValueError(
                f"{width} should be a multiple of config.model.num_heads={self.num_heads}"
            )
        if self.dim < 4:
            raise ValueError(f"{width} should be 4 or more")
        if self.embed == "llds" and not self.input_projection and self.dim != 130:
            raise ValueError(
                f"{width} should be 130, as many as there are descriptors, with "
                "config.model.input_projection=False"
            )
        if self.context == "base" and self.dim % 16:
            raise ValueError(f"{width} should be a multiple of 16 with config.model.context=base")
        if self.causal and self.context != "paper":
            raise ValueError(
                f"config.model.causal=True does nothing with config.model.context={self.context}"
            )

    @property
    def input_name(self) -> Literal["llds", "waveform"]:
        """What the network hears."""
        return "waveform" if self.embed == "waveform" else "llds"
