"""From a conversation to the tokens that the model was trained to read: its own chat template, or plain text."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import llama_cpp.llama_cpp as native

from deploy.engine.channels import Format, Splitter, format_of, marks_of, splitter_of
from deploy.engine.limit import TookTooLong, limited
from deploy.engine.native import Refusal
from deploy.engine.protocol import ChatMessage, Generate
from deploy.engine.vocabulary import Vocabulary

if TYPE_CHECKING:
    from deploy.engine.vision import Eyes, SeenPrompt

PRIVATE_USE: Final = range(0xE000, 0xF8FF)
"""Characters without a meaning of their own; one that occurs nowhere becomes the seam, another an image's place."""
SEAMS_LIMIT: Final = 16
"""Rounds of taking control tokens apart; one is enough for every honest vocabulary."""
TEMPLATE_LIMIT_S: Final = 5.0
"""An honest template takes milliseconds, also for a long conversation."""
NO_THINKING: Final = {"enable_thinking": False, "thinking": False}
"""What most templates look at; one that knows neither ignores both."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model is to read, and how its answer is to be taken apart."""

    tokens: list[int]
    splitter: Splitter
    seen: "SeenPrompt | None" = None
    """Where there are images in it."""


class Prompting:
    """Renders requests for one model."""

    def __init__(self, model: Any, vocabulary: Vocabulary, eyes: "Eyes | None" = None) -> None:
        """Compile the model's chat template, if it has one. Raises Refusal."""
        self._vocabulary = vocabulary
        self._eyes = eyes
        raw = native.llama_model_chat_template(model, None)
        self._source = "" if raw is None else raw.decode("utf-8", "replace")
        self._template: Any = None if raw is None else self._compiled()
        self._format: Format | None = format_of(self._source)
        vocabulary.speak(marks_of(self._format))

    @property
    def has_template(self) -> bool:
        """Whether the model brings a chat template."""
        return self._template is not None

    @property
    def thinks(self) -> bool:
        """Whether its template knows a channel for reasoning."""
        return self._format is not None

    def prompt(self, request: Generate) -> Prompt:
        """The whole prompt of a request; empty where there is nothing to read. Raises Refusal."""
        if request.prompt is not None:
            tokens = self._vocabulary.tokenize(request.prompt, add_special=True, parse_special=False)
            return Prompt(tokens, splitter_of(None, ""))
        direct = request.schema is not None
        text, seen, tokens = self._read(request.messages, thinking=not direct)
        found = self._format if self.has_template else None
        return Prompt(tokens, splitter_of(found, text, answer_only=direct), seen)

    def count(self, messages: tuple[ChatMessage, ...]) -> int:
        """How many tokens a conversation has. Raises Refusal."""
        return len(self._read(messages, thinking=True)[2])

    def _read(self, messages: tuple[ChatMessage, ...], *, thinking: bool) -> tuple[str, "SeenPrompt | None", list[int]]:
        """A conversation as text, with what is seen in it, as tokens. Raises Refusal."""
        if not messages:
            return "", None, []
        if any(message.images for message in messages):
            text, seen = self._shown(messages, thinking=thinking)
            return text, seen, seen.tokens
        if self._template is None:
            text = "\n\n".join(message.content for message in messages)
            return text, None, self._vocabulary.tokenize(text, add_special=True, parse_special=False)
        seam, _ = self._marks(messages)
        text = self._render([self._turn(message, seam) for message in messages], thinking=thinking)
        return text, None, self._tokens(text, seam)

    def _shown(self, messages: tuple[ChatMessage, ...], *, thinking: bool) -> tuple[str, "SeenPrompt"]:
        """A conversation with images, each where its message begins. Raises Refusal."""
        if self._eyes is None:
            raise Refusal("No projector is loaded, so no image can be shown.", "Give one with --projector.")
        seam, place = self._marks(messages)
        turns = [self._turn(message, seam, place) for message in messages]
        if self._template is None:
            text = "\n\n".join(turn["content"] for turn in turns)
        else:
            text = self._render(turns, thinking=thinking)
        images = [image for message in messages for image in message.images]
        pieces = text.split(place)
        if len(pieces) != len(images) + 1 or not pieces[-1].strip():
            raise Refusal("The model's chat template leaves out images.", "Choose a model that was made for images.")
        parts: list[str | bytes] = [*pieces[0].split(seam)]
        for image, piece in zip(images, pieces[1:], strict=True):
            parts += [image, *piece.split(seam)]
        has_start = bool(self._vocabulary.start_text) and text.startswith(self._vocabulary.start_text)
        return text.replace(place, ""), self._eyes.prompt(parts, add_special=not has_start)

    def _tokens(self, text: str, seam: str) -> list[int]:
        """Tokens of a rendered conversation. Between two seams control tokens are the template's own."""
        start_text = self._vocabulary.start_text
        first, *rest = text.split(seam)
        has_start = bool(start_text) and text.startswith(start_text)
        tokens = self._vocabulary.tokenize(first, add_special=not has_start, parse_special=True)
        for part in rest:
            tokens += self._vocabulary.tokenize(part, add_special=False, parse_special=True)
        return tokens

    def _marks(self, messages: tuple[ChatMessage, ...]) -> tuple[str, str]:
        """Two characters that occur nowhere: the seam, and the place of an image."""
        said = self._source + "".join(message.content + message.thinking for message in messages)
        free = (chr(code) for code in PRIVATE_USE if chr(code) not in said)
        seam, place = next(free, None), next(free, None)
        if seam is None or place is None:
            raise Refusal("The text uses every private character of Unicode.", "Leave some of them out.")
        return seam, place

    def _turn(self, message: ChatMessage, seam: str, place: str = "") -> dict[str, str]:
        turn = {"role": message.role, "content": place * len(message.images) + self._plain(message.content, seam)}
        if message.thinking:
            thinking = self._plain(message.thinking, seam)
            turn |= {"reasoning_content": thinking, "thinking": thinking}
        return turn

    def _plain(self, content: str, seam: str) -> str:
        """The content with a seam inside everything that would be read as a control token."""
        for _ in range(SEAMS_LIMIT):
            found = {text for part in content.split(seam) for text in self._vocabulary.control_texts(part)}
            if not found:
                return content
            for text in found:
                content = content.replace(text, text[0] + seam + text[1:])
        raise Refusal("The text holds control tokens of the model that cannot be taken apart.", "Change the text.")

    def _render(self, turns: list[dict[str, str]], *, thinking: bool) -> str:
        return self._rendered(_in_parts(turns) if self._wants_parts else turns, thinking=thinking)

    @cached_property
    def _wants_parts(self) -> bool:
        """Whether the template drops a text unless it comes as a list of parts, as some for images do."""
        probe = [{"role": "user", "content": chr(PRIVATE_USE[0])}]
        return not self._keeps(probe) and self._keeps(_in_parts(probe))

    def _keeps(self, turns: list[Any]) -> bool:
        try:
            return chr(PRIVATE_USE[0]) in self._rendered(turns, thinking=True)
        except Refusal as refusal:
            if isinstance(refusal.__cause__, TookTooLong):
                raise  # nobody should wait for it another time
            return False

    def _rendered(self, turns: list[Any], *, thinking: bool) -> str:
        try:
            with limited(TEMPLATE_LIMIT_S):
                text = str(self._template(messages=turns, **({} if thinking else NO_THINKING)).prompt)
                text.encode()
                return text
        except Exception as error:  # foreign code: whatever it raises is its refusal
            raise Refusal(
                f"The model's chat template refuses this conversation: {_why(error)}.",
                "Try it without a system prompt.",
            ) from error

    def _compiled(self) -> Any:
        import jinja2.debug  # noqa: F401 - wanted when a template fails, when no file can be opened any more
        from llama_cpp.llama_chat_format import Jinja2ChatFormatter

        try:
            with limited(TEMPLATE_LIMIT_S):
                return Jinja2ChatFormatter(
                    template=self._source,
                    eos_token=self._vocabulary.end_text,
                    bos_token=self._vocabulary.start_text,
                )
        except Exception as error:  # foreign code
            raise Refusal(f"The model's chat template cannot be used: {_why(error)}.", "Try another model.") from error


def _in_parts(turns: list[dict[str, str]]) -> list[dict[str, Any]]:
    return [turn | {"content": [{"type": "text", "text": turn["content"]}]} for turn in turns]


def _why(error: Exception) -> str:
    """What foreign code died of, in words."""
    match error:
        case TookTooLong():
            return f"it took more than {TEMPLATE_LIMIT_S:g} s"
        case MemoryError():
            return "it wants more memory than it may have"
        case UnicodeEncodeError():
            return "it writes what is not UTF-8"
        case RecursionError():
            return "it is nested too deeply"
        case _:
            return str(error).rstrip(".") or type(error).__name__
