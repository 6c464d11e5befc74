"""Which public benchmarks count, for which use, and whose scores may be shipped."""

from typing import Final

import msgspec

from deploy.catalog.model import ScoreSource, Use


class Benchmark(msgspec.Struct, frozen=True, kw_only=True):
    """One benchmark: what it says something of, and its names in each source."""

    name: str
    use: Use
    llm_stats: tuple[str, ...] = ()
    epoch: tuple[tuple[str, str], ...] = ()
    """File without ending, and column."""
    arena: str = ""
    """Which of its tables; the score is a rating."""
    qwen3x: tuple[str, ...] = ()


SCORE_SOURCES: Final = (
    ScoreSource(
        id="epoch",
        name="Epoch AI, AI Benchmarking Hub, https://epoch.ai/benchmarks",
        licence="CC-BY-4.0",
        dated="2026-04-30",
    ),
    ScoreSource(
        id="llm-stats",
        name="LLM-Stats, https://github.com/JonathanChavezTamales/llm-leaderboard@24a9ccf, publishers' own figures",
        licence="CC-BY-4.0",
        dated="2025-10-16",
    ),
    ScoreSource(
        id="arena",
        name="LMArena by https://github.com/fboulnois/llm-leaderboard-csv@44db958",
        licence="MPL-2.0",
        dated="2025-08-06",
    ),
    ScoreSource(
        id="qwen3x",
        name="https://github.com/mike7seven/qwen3x-series-comparison@5dafee0, the publisher's own figures",
        licence="Apache-2.0",
        dated="2026-04-19",
    ),
)
"""The first one that has a score is shown; the composite takes the middle of all that do."""

BENCHMARKS: Final = (
    Benchmark(name="Arena text rating", use="chat", arena="text"),
    Benchmark(name="MMLU", use="chat", llm_stats=("mmlu",), epoch=(("mmlu_external", "EM"),)),
    Benchmark(name="MMLU-Pro", use="chat", llm_stats=("mmlu-pro",), qwen3x=("MMLU-Pro",)),
    Benchmark(name="MMLU-Redux", use="chat", llm_stats=("mmlu-redux",), qwen3x=("MMLU-Redux",)),
    Benchmark(name="SuperGPQA", use="chat", llm_stats=("supergpqa",), qwen3x=("SuperGPQA",)),
    Benchmark(name="IFEval", use="chat", llm_stats=("ifeval",), qwen3x=("IFEval",)),
    Benchmark(name="Arena-Hard", use="chat", llm_stats=("arena-hard",)),
    Benchmark(name="MT-Bench", use="chat", llm_stats=("mt-bench",)),
    Benchmark(name="Multi-Challenge", use="chat", llm_stats=("multichallenge",), qwen3x=("MultiChallenge",)),
    Benchmark(name="SimpleQA", use="chat", llm_stats=("simpleqa",), epoch=(("simpleqa_verified", "mean_score"),)),
    Benchmark(name="SimpleBench", use="chat", epoch=(("simplebench_external", "Score (AVG@5)"),)),
    Benchmark(
        name="LiveBench", use="chat", llm_stats=("livebench",), epoch=(("live_bench_external", "Global average"),)
    ),
    Benchmark(name="WinoGrande", use="chat", llm_stats=("winogrande",), epoch=(("wino_grande_external", "Accuracy"),)),
    Benchmark(
        name="HellaSwag", use="chat", llm_stats=("hellaswag",), epoch=(("hella_swag_external", "Overall accuracy"),)
    ),
    Benchmark(name="ARC-C", use="chat", llm_stats=("arc-c",), epoch=(("arc_ai2_external", "Challenge score"),)),
    Benchmark(
        name="GPQA", use="reasoning", llm_stats=("gpqa",), epoch=(("gpqa_diamond", "mean_score"),), qwen3x=("GPQA",)
    ),
    Benchmark(
        name="Humanity's Last Exam",
        use="reasoning",
        llm_stats=("humanity's-last-exam",),
        epoch=(("hle_external", "Accuracy"),),
        qwen3x=("HLE",),
    ),
    Benchmark(name="AIME 2024", use="reasoning", llm_stats=("aime-2024",)),
    Benchmark(name="AIME 2025", use="reasoning", llm_stats=("aime-2025",)),
    Benchmark(name="OTIS mock AIME", use="reasoning", epoch=(("otis_mock_aime_2024_2025", "mean_score"),)),
    Benchmark(name="HMMT 2025", use="reasoning", llm_stats=("hmmt-2025", "hmmt25"), qwen3x=("HMMT Feb 25",)),
    Benchmark(name="MATH", use="reasoning", llm_stats=("math",)),
    Benchmark(name="MATH level 5", use="reasoning", epoch=(("math_level_5", "mean_score"),)),
    Benchmark(name="MATH-500", use="reasoning", llm_stats=("math-500",)),
    Benchmark(name="GSM8K", use="reasoning", llm_stats=("gsm8k",), epoch=(("gsm8k_external", "EM"),)),
    Benchmark(
        name="BIG-Bench Hard",
        use="reasoning",
        llm_stats=("big-bench-hard", "bbh"),
        epoch=(("bbh_external", "Average"),),
    ),
    Benchmark(name="DROP", use="reasoning", llm_stats=("drop",)),
    Benchmark(name="ARC-AGI", use="reasoning", epoch=(("arc_agi_external", "Score"),)),
    Benchmark(
        name="LiveCodeBench",
        use="code",
        llm_stats=("livecodebench", "livecodebench-v5", "livecodebench-v6"),
        qwen3x=("LiveCodeBench v6",),
    ),
    Benchmark(name="HumanEval", use="code", llm_stats=("humaneval",)),
    Benchmark(name="MBPP", use="code", llm_stats=("mbpp",)),
    Benchmark(name="MultiPL-E", use="code", llm_stats=("multipl-e",)),
    Benchmark(
        name="SWE-bench Verified",
        use="code",
        llm_stats=("swe-bench-verified",),
        epoch=(("swe_bench_verified", "mean_score"),),
        qwen3x=("SWE-bench Verified",),
    ),
    Benchmark(name="SWE-bench, plain shell", use="code", epoch=(("swe_bench_bash", "% Resolved"),)),
    Benchmark(
        name="Aider polyglot",
        use="code",
        llm_stats=("aider-polyglot",),
        epoch=(("aider_polyglot_external", "Percent correct"),),
    ),
    Benchmark(name="WeirdML", use="code", epoch=(("weirdml_external", "Accuracy"),)),
    Benchmark(
        name="Terminal-Bench",
        use="tools",
        llm_stats=("terminal-bench",),
        epoch=(("terminalbench_external", "Accuracy mean"),),
    ),
    Benchmark(name="BFCL", use="tools", llm_stats=("bfcl", "bfcl-v3")),
    Benchmark(name="BFCL v4", use="tools", qwen3x=("BFCL-V4",)),
    Benchmark(name="τ-bench retail", use="tools", llm_stats=("tau-bench-retail",)),
    Benchmark(name="τ-bench airline", use="tools", llm_stats=("tau-bench-airline",)),
    Benchmark(name="τ²-bench retail", use="tools", llm_stats=("tau2-retail",)),
    Benchmark(name="τ²-bench airline", use="tools", llm_stats=("tau2-airline",)),
    Benchmark(name="τ²-bench telecom", use="tools", llm_stats=("tau2-telecom",)),
    Benchmark(name="τ²-bench", use="tools", qwen3x=("TAU2-Bench",)),
    Benchmark(name="Arena vision rating", use="vision", arena="vision"),
    Benchmark(name="MMMU", use="vision", llm_stats=("mmmu",)),
    Benchmark(name="MMMU-Pro", use="vision", llm_stats=("mmmu-pro",)),
    Benchmark(name="MathVista", use="vision", llm_stats=("mathvista", "mathvista-mini")),
    Benchmark(name="DocVQA", use="vision", llm_stats=("docvqa",)),
    Benchmark(name="ChartQA", use="vision", llm_stats=("chartqa",)),
    Benchmark(name="AI2D", use="vision", llm_stats=("ai2d",)),
    Benchmark(name="TextVQA", use="vision", llm_stats=("textvqa",)),
    Benchmark(
        name="Fiction.live, 120k tokens", use="long-context", epoch=(("fictionlivebench_external", "120k token score"),)
    ),
    Benchmark(name="LongBench v2", use="long-context", qwen3x=("LongBench v2",)),
    Benchmark(name="MGSM", use="language", llm_stats=("mgsm",)),
    Benchmark(name="MMMLU", use="language", llm_stats=("mmmlu",), qwen3x=("MMMLU",)),
    Benchmark(name="Global MMLU lite", use="language", llm_stats=("global-mmlu-lite",)),
    Benchmark(name="INCLUDE", use="language", llm_stats=("include",), qwen3x=("INCLUDE",)),
    Benchmark(name="MMLU-ProX", use="language", llm_stats=("mmlu-prox",), qwen3x=("MMLU-ProX",)),
    Benchmark(name="WMT24++", use="language", llm_stats=("wmt24++",), qwen3x=("WMT24++",)),
)

ALIASES: Final = {
    "qwen-2.5-7b-instruct": "qwen2.5-7b-instruct",
    "qwen-2.5-14b-instruct": "qwen2.5-14b-instruct",
    "qwen-2.5-32b-instruct": "qwen2.5-32b-instruct",
    "qwen-2.5-72b-instruct": "qwen2.5-72b-instruct",
    "qwen-2.5-coder-7b-instruct": "qwen2.5-coder-7b-instruct",
    "qwen-2.5-coder-32b-instruct": "qwen2.5-coder-32b-instruct",
    "llama-4-maverick": "llama-4-maverick-17b-128e-instruct",
    "llama-4-scout": "llama-4-scout-17b-16e-instruct",
    "nemotron-nano-9b-v2": "nvidia-nemotron-nano-9b-v2",
    "llama-3.2-11b-instruct": "llama-3.2-11b-vision-instruct",
    "open-mistral-nemo-2407": "mistral-nemo-instruct-2407",
    "open-mixtral-8x7b": "mixtral-8x7b-instruct-v0.1",
    "command r (08-2024)": "c4ai-command-r-08-2024",
    "command a (03-2025)": "c4ai-command-a-03-2025",
    "kimi-k2-thinking-turbo": "kimi-k2-thinking",
    "fireworks/deepseek-v3p2": "deepseek-v3.2",
    "parasail-qwen3-235b-a22b-instruct-2507": "qwen3-235b-a22b-instruct-2507",
}
"""Other names of models in the sources."""
