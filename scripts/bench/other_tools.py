"""What other tools from the package index say of a model's speed on this machine: llmfit, ggufit and llama-mdl.

Each is asked as its own help says, about the same file where it takes files, else about the same model and
quantisation. What it does not know stays out.
"""

import json
import re
import subprocess
from pathlib import Path
from typing import Any, Final

import msgspec

LIMIT_S: Final = 60
CONTEXT: Final = "4096"
REPOSITORIES: Final = {
    "smollm2": "HuggingFaceTB/",
    "qwen": "Qwen/",
    "gemma": "google/",
    "llama": "meta-llama/",
    "gpt-oss": "openai/",
    "granite": "ibm-granite/",
    "lfm2": "LiquidAI/",
    "ernie": "baidu/",
    "mistral": "mistralai/",
    "olmo": "allenai/",
    "deepseek": "deepseek-ai/",
}
GGUFIT_QUANTS: Final = {"Q4_K_M": "q4", "Q4_0": "q4", "Q8_0": "q8", "MXFP4": "q4"}


class Other(msgspec.Struct, frozen=True):
    """Tokens a second; None where it gives no such figure."""

    write: float | None
    read: float | None


def ask_all(tools: Path, name: str, file: Path) -> dict[str, Other]:
    """All three."""
    model_id, _, quant = name.partition(":")
    asked = {
        "llmfit": _llmfit(tools / "llmfit", model_id, quant),
        "ggufit": _ggufit(tools / "ggufit", model_id, quant),
        "llama-mdl": _mdl(tools / "mdl", file),
    }
    return {tool: answer for tool, answer in asked.items() if answer is not None}


def _llmfit(program: Path, model_id: str, quant: str) -> Other | None:
    names = [owner + model_id for start, owner in REPOSITORIES.items() if model_id.startswith(start)]
    for name in (*names, model_id):
        said = _json([str(program), "plan", name, "--context", CONTEXT, "--quant", quant, "--json"])
        if said and "current" in said:
            return Other(float(said["current"]["estimated_tps"]), None)
    return None


def _ggufit(program: Path, model_id: str, quant: str) -> Other | None:
    short = re.sub(r"-(?:it|instruct)(?:-v[\d.]+)?$", "", model_id)
    for name in (model_id, short):
        command = [str(program), name, "--tokens-per-sec", "--offline", "--quant", GGUFIT_QUANTS[quant]]
        found = re.search(r"~([\d.]+)\D([\d.]+) tok/s", _output([*command, "--context", CONTEXT]))
        if found:
            return Other((float(found[1]) + float(found[2])) / 2, None)
    return None


def _mdl(program: Path, file: Path) -> Other | None:
    said = _json([str(program), "fit", str(file), "--no-oracle", "--now", "--json"])
    if not said or not said.get("picks"):
        return None
    speed = said["picks"][0]["speed"]
    return Other(float(speed["decode0"]), float(speed["prefill"]))


def _json(command: list[str]) -> dict[str, Any] | None:
    try:
        found = json.loads(_output(command))
    except json.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
