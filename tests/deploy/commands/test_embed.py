"""Texts to vectors with the fake engine: in order, in batches, and with a doubt where there is one."""

import math
from pathlib import Path

import msgspec
import pytest

from deploy.commands.context import Context
from deploy.commands.embed import BATCH_TEXTS, EmbedRequest, embed
from deploy.commands.install import InstallRequest, install
from deploy.engine.fake import FakeEngine, FakeSession
from deploy.engine.protocol import Embedded
from deploy.errors import EngineFailed, UsageError
from tests.support.world import world


def ready(tmp_path: Path) -> Context:
    """A world with one installed model."""
    install(world(tmp_path), InstallRequest(model="tiny"))
    return world(tmp_path, engine=FakeEngine())


def unheard(_: Embedded) -> None:
    """Nobody watches."""


def test_each_text_has_its_vector_in_order(tmp_path: Path) -> None:
    """More texts than go to the engine at once come back whole, batch after batch."""
    texts = tuple("word " * count for count in range(1, BATCH_TEXTS + 9))
    heard: list[Embedded] = []
    result = embed(ready(tmp_path), EmbedRequest(texts=texts), heard.append)
    assert result.data is not None
    assert result.data.vectors == tuple((math.cos(count), math.sin(count)) for count in range(1, BATCH_TEXTS + 9))
    assert [len(batch.vectors) for batch in heard] == [BATCH_TEXTS, 8]
    assert (result.data.count, result.data.dimensions) == (BATCH_TEXTS + 8, 2)
    assert result.messages == ()


def test_a_model_that_was_not_made_for_it_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The vectors are given, and what they are worth is said."""
    made = FakeSession.embed

    def doubtful(session: FakeSession, texts: tuple[str, ...]) -> Embedded:
        return msgspec.structs.replace(made(session, texts), made_for_it=False)

    monkeypatch.setattr(FakeSession, "embed", doubtful)
    result = embed(ready(tmp_path), EmbedRequest(texts=("a",)), unheard)
    assert "tiny:Q4_0 was not made for vectors" in result.messages[0].text


@pytest.mark.parametrize(("texts", "why"), [((), "There is no text"), (("a", " "), "Text 2 is empty")])
def test_nothing_has_no_vector(tmp_path: Path, texts: tuple[str, ...], why: str) -> None:
    """It is refused before a model is loaded."""
    here = ready(tmp_path)
    with pytest.raises(UsageError, match=why):
        embed(here, EmbedRequest(texts=texts), unheard)
    assert isinstance(here.engine, FakeEngine)
    assert here.engine.opened == []


def test_a_refusal_of_the_engine_closes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And goes on its way."""
    closed: list[bool] = []

    def refuse(_: FakeSession, texts: tuple[str, ...]) -> Embedded:
        raise EngineFailed("no")

    monkeypatch.setattr(FakeSession, "embed", refuse)
    monkeypatch.setattr(FakeSession, "close", lambda _: closed.append(True))
    with pytest.raises(EngineFailed):
        embed(ready(tmp_path), EmbedRequest(texts=("a",)), unheard)
    assert closed


def test_any_number_of_texts_takes_little_memory(tmp_path: Path) -> None:
    """Where each vector was given on as it came, the result holds none of them, and the same figures."""
    texts = tuple("word " * count for count in range(1, BATCH_TEXTS + 9))
    heard: list[Embedded] = []
    result = embed(ready(tmp_path), EmbedRequest(texts=texts, returns_vectors=False), heard.append)
    assert result.data is not None
    assert result.data.vectors == ()
    assert (result.data.count, result.data.dimensions) == (BATCH_TEXTS + 8, 2)
    assert sum(len(batch.vectors) for batch in heard) == BATCH_TEXTS + 8
