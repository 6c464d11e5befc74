"""From turn to turn: what stays in memory, what is guessed ahead, and that the answer does not depend on either."""

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec
import pytest

from deploy.engine.client import LlamaEngine, LlamaSession
from deploy.engine.load_plan import KvType, LoadPlan
from deploy.engine.protocol import ChatMessage, Done, Generate, Sampling, Stats, Text
from deploy.engine.speculate import EXACT, MOST_GUESSES
from deploy.fit.loading import quickened_file
from deploy.gguf.reader import read_header

pytestmark = [pytest.mark.engine, pytest.mark.index]

GREEDY: Final = Sampling(temperature=0)
DRAWN: Final = Sampling(temperature=0.2, seed=5)
GUESSING: Final = LoadPlan(context_tokens=2048, threads=1, speculation_tokens=MOST_GUESSES)
WINDOW: Final = LoadPlan(context_tokens=4096, threads=1, batch_tokens=64)
"""The window's cells are few then, and an answer of a page writes over those of the prompt's end."""
STORY: Final = (
    "The lighthouse at Cape Arran was built in 1823 by order of the harbour board. Its first keeper, Abel Morrow, "
    "wrote every evening what he had seen: the ships, the weather, the oil that was burned. When he died in 1851 his "
    "daughter Ruth took the lamp, and she kept it for thirty-four years."
)
COPY: Final = f"Repeat this text word for word, without any change:\n\n{STORY}"
HYBRID: Final = {
    "general.architecture": "lfm2",
    "lfm2.vocab_size": 2048,
    "lfm2.context_length": 8192,
    "lfm2.embedding_length": 128,
    "lfm2.block_count": 4,
    "lfm2.feed_forward_length": 256,
    "lfm2.attention.head_count": 4,
    "lfm2.attention.head_count_kv": [0, 2, 0, 2],
    "lfm2.attention.key_length": 32,
    "lfm2.attention.value_length": 32,
    "lfm2.attention.layer_norm_rms_epsilon": 1e-06,
    "lfm2.rope.freq_base": 1000000.0,
    "lfm2.shortconv.l_cache": 3,
}
"""A small model of convolutions and attention: its memory cannot go back by itself."""
WRITE: Final = """
import sys
from pathlib import Path
from scripts.bench.synthetic import write
write({metadata!r}, "F16", Path(sys.argv[1]), tied=True)
"""

Open = Callable[[Path, LoadPlan], LlamaSession]


@pytest.fixture
def opened() -> Iterator[Open]:
    """Open sessions that are closed at the end of the test."""
    with contextlib.ExitStack() as stack:

        def open_(path: Path, plan: LoadPlan) -> LlamaSession:
            session = LlamaEngine().open([path], plan, lambda _: None)
            stack.callback(session.close)
            return session

        yield open_


@pytest.fixture(scope="module")
def hybrid_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The hybrid with random weights: its words mean nothing, and are others when its state is."""
    path = tmp_path_factory.mktemp("hybrid") / "hybrid.gguf"
    subprocess.run([sys.executable, "-c", WRITE.format(metadata=HYBRID), str(path)], check=True, capture_output=True)
    _fill(path)
    return path


def _fill(path: Path) -> None:
    import numpy as np

    header, random = read_header(path), np.random.default_rng(1)
    with path.open("r+b") as file:
        for tensor in header.tensors:
            file.seek(header.data_offset + tensor.offset)
            matrix = len(tensor.shape) > 1 and tensor.type_name == "F16"
            values = random.standard_normal(tensor.shape) * (0.2 if matrix else 0.05) + (0 if matrix else 1)
            file.write(values.astype(np.float16 if tensor.type_name == "F16" else np.float32).tobytes())


def answer(session: LlamaSession, request: Generate) -> tuple[str, Stats]:
    """The text of an answer and its figures."""
    events = list(session.generate(request))
    assert isinstance(events[-1], Done)
    return "".join(event.text for event in events if isinstance(event, Text)), events[-1].stats


def ask(text: str, tokens: int = 160, sampling: Sampling = GREEDY) -> Generate:
    """A question."""
    return Generate(messages=(ChatMessage("user", text),), max_tokens=tokens, sampling=sampling)


def test_guesses_that_come_true(smollm2_path: Path, opened: Open) -> None:
    """A text is copied and most of it is guessed right; the same seed gives the same answer again."""
    first, stats = answer(opened(smollm2_path, GUESSING), ask(COPY, sampling=DRAWN))
    again, _ = answer(opened(smollm2_path, GUESSING), ask(COPY, sampling=DRAWN))
    assert "Abel Morrow" in first
    assert again == first
    assert stats.speculation.right > stats.answer_tokens / 3
    assert stats.speculation.guessed >= stats.speculation.right


def test_a_text_that_repeats_itself(gemma3_path: Path, opened: Open) -> None:
    """Nearly all of it is guessed, and it is repeated to the letter all the same."""
    session = opened(gemma3_path, GUESSING)
    text, stats = answer(session, Generate(prompt=f"{STORY}\n" * 4, max_tokens=120, sampling=DRAWN))
    assert text.startswith(STORY)
    assert stats.speculation.right > 0.8 * stats.answer_tokens


@pytest.mark.parametrize("kv_type", ["f16", "q8_0/f16"])
def test_without_flash_attention_the_number_of_threads_does_not_show(
    kv_type: KvType, smollm2_path: Path, opened: Open
) -> None:
    """To the byte; with it, one thread and two round otherwise from 512 cells on."""
    asked = Generate(prompt=f"{STORY[:40]} {STORY} " * 5, max_tokens=60, sampling=Sampling(temperature=0.8, seed=1))
    plan = LoadPlan(context_tokens=1024, flash_attention=False, kv_type=kv_type)
    one, two = (answer(opened(smollm2_path, msgspec.structs.replace(plan, threads=count)), asked) for count in (1, 2))
    assert one[1].prompt_tokens > 400
    assert one[0] == two[0]


def test_nothing_is_guessed_at_temperature_0(smollm2_path: Path, opened: Open) -> None:
    """The text is to the byte the one that is computed token by token, and the reason is given."""
    plain, none = answer(opened(smollm2_path, LoadPlan(context_tokens=2048, threads=1)), ask(COPY))
    same, stats = answer(opened(smollm2_path, GUESSING), ask(COPY))
    assert same == plain
    assert none.speculation.guessed == stats.speculation.guessed == 0
    assert "no memory" in none.speculation.why_not
    assert stats.speculation.why_not == EXACT


@pytest.mark.parametrize("tokens", [20, 41, 64])
def test_guessing_ends_where_it_should(smollm2_path: Path, opened: Open, tokens: int) -> None:
    """Not a token more than asked for, and the next question finds memory in order."""
    session = opened(smollm2_path, GUESSING)
    whole, _ = answer(session, ask(COPY, 100, DRAWN))
    part, stats = answer(session, ask(COPY, tokens, DRAWN))
    assert stats.answer_tokens == tokens
    assert whole.startswith(part)
    assert answer(session, ask(COPY, 100, DRAWN))[0] == whole


def test_guessing_stops_at_a_full_context(smollm2_path: Path, opened: Open) -> None:
    """The last tokens that fit are drawn one by one."""
    session = opened(smollm2_path, msgspec.structs.replace(GUESSING, context_tokens=256))
    line = "The ship came in, the ship went out, and nobody saw it. "
    events = list(session.generate(Generate(prompt=line * 10, max_tokens=400, sampling=DRAWN)))
    assert isinstance(events[-1], Done)
    assert events[-1].reason == "context"
    assert events[-1].stats.speculation.right > 0


@pytest.mark.parametrize("copied", [False, True], ids=["no copy", "copy"])
def test_a_sliding_window_goes_back_to_its_copy(gemma3_path: Path, opened: Open, copied: bool) -> None:  # noqa: FBT001 - a parameter
    """The second question about a long document reads only itself, with the words of a fresh session.

    The memory that is planned for the copy is enough.
    """
    plan = quickened_file(WINDOW, LlamaEngine().rehearse([gemma3_path], WINDOW)) if copied else WINDOW
    plan = msgspec.structs.replace(plan, speculation_tokens=0)
    document = f"{STORY} " * 9
    session = opened(gemma3_path, plan)
    answer(session, Generate(prompt=f"{document}\nThe lighthouse was built", max_tokens=320, sampling=GREEDY))
    second = Generate(prompt=f"{document}\nThe name of the first keeper was", max_tokens=3, sampling=GREEDY)
    text, stats = answer(session, second)
    assert (stats.reused_tokens > 0.9 * stats.prompt_tokens) == copied
    assert text == answer(opened(gemma3_path, plan), second)[0]


@pytest.mark.parametrize("copied", [False, True], ids=["no copy", "copy"])
def test_a_hybrid_goes_back_to_its_copy(hybrid_path: Path, opened: Open, copied: bool) -> None:  # noqa: FBT001 - a parameter
    """Recurrent state has no way back but a copy; what is drawn after it is what a fresh session draws."""
    plan = LoadPlan(context_tokens=4096, threads=1, speculation_tokens=7)
    if copied:
        plan = quickened_file(plan, LlamaEngine().rehearse([hybrid_path], plan))
        assert plan.speculation_tokens == 0
    document = " ".join(str(number * 37 % 1000) for number in range(500))
    session = opened(hybrid_path, plan)
    answer(session, Generate(prompt=f"{document} one", max_tokens=40, sampling=GREEDY))
    second = Generate(prompt=f"{document} two", max_tokens=12, sampling=GREEDY)
    text, stats = answer(session, second)
    assert (stats.reused_tokens > 0.9 * stats.prompt_tokens) == copied
    assert text == answer(opened(hybrid_path, plan), second)[0]
    assert text != answer(session, Generate(prompt="0", max_tokens=12, sampling=GREEDY))[0]
    assert "cannot go back" in stats.speculation.why_not


def test_a_copy_that_is_too_large_is_not_made(gemma3_path: Path, opened: Open) -> None:
    """The plan says what a copy may take, and is obeyed."""
    session = opened(gemma3_path, msgspec.structs.replace(WINDOW, checkpoint_bytes=1000))
    document = f"{STORY} " * 9
    answer(session, Generate(prompt=f"{document} One", max_tokens=320, sampling=GREEDY))
    _, stats = answer(session, Generate(prompt=f"{document} Two", max_tokens=1, sampling=GREEDY))
    assert stats.reused_tokens == 0


def test_what_the_model_wrote_is_not_read_again(smollm2_path: Path, opened: Open) -> None:
    """Also where the model wrote it in other tokens than the tokenizer would."""
    session = opened(smollm2_path, LoadPlan(context_tokens=2048, threads=1))
    drawn = Sampling(temperature=1.8, top_k=0, top_p=1.0, min_p=0.0, seed=4)
    question = ChatMessage("user", "Invent five new words.")
    first, stats = answer(session, Generate(messages=(question,), max_tokens=80, sampling=drawn))
    turns = (question, ChatMessage("assistant", first), ChatMessage("user", "More."))
    _, again = answer(session, Generate(messages=turns, max_tokens=1, sampling=GREEDY))
    assert again.reused_tokens >= stats.prompt_tokens + 0.9 * stats.answer_tokens
