"""What goes with the next message: text files, with their sizes in tokens before anything is sent."""

from dataclasses import dataclass

from textual.widgets import Static

from deploy.conversations import Attachment
from tui.text import harmless


@dataclass
class Carried:
    """A file that goes with the next message."""

    attachment: Attachment
    tokens: int | None = None
    """None while nobody has counted."""

    @property
    def words(self) -> str:
        """Its name and size."""
        size = "not counted yet" if self.tokens is None else f"{self.tokens:,} tokens"
        return f"[{harmless(self.attachment.name)} · {size}]"


class Files(Static):
    """The line above the prompt that lists them."""

    def __init__(self) -> None:
        """Begin with none."""
        super().__init__(id="files", markup=False)
        self.display = False
        self.carried: list[Carried] = []

    @property
    def attachments(self) -> tuple[Attachment, ...]:
        """The files themselves."""
        return tuple(one.attachment for one in self.carried)

    def add(self, one: Carried) -> None:
        """One more."""
        self.carried.append(one)
        self.show()

    def drop_last(self) -> None:
        """One less."""
        del self.carried[-1:]
        self.show()

    def clear(self) -> None:
        """None."""
        self.carried.clear()
        self.show()

    def show(self) -> None:
        """Write the line anew."""
        self.display = bool(self.carried)
        names = "  ".join(one.words for one in self.carried)
        self.update(f"{names}   (backspace drops the last)" if names else "")
