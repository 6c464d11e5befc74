"""What goes with the next message: text files and images, with their sizes in tokens before anything is sent."""

from dataclasses import dataclass

from textual.widgets import Static

from deploy.commands.looking import Shown
from deploy.conversations import Attachment
from tui.text import harmless


@dataclass(eq=False)
class Carried:
    """A file that goes with the next message."""

    file: Attachment | Shown
    tokens: int | None = None
    """None while nobody has counted."""

    @property
    def words(self) -> str:
        """Its name and size; of an image, the pixels too."""
        size = "not counted yet" if self.tokens is None else f"{self.tokens:,} tokens"
        name = self.file.words if isinstance(self.file, Shown) else self.file.name
        return f"[{harmless(name)} · {size}]"


class Files(Static):
    """The line above the prompt that lists them."""

    def __init__(self) -> None:
        """Begin with none."""
        super().__init__(id="files", markup=False)
        self.display = False
        self.carried: list[Carried] = []

    @property
    def attachments(self) -> tuple[Attachment, ...]:
        """The texts among them."""
        return tuple(one.file for one in self.carried if isinstance(one.file, Attachment))

    @property
    def images(self) -> tuple[Shown, ...]:
        """The images among them."""
        return tuple(one.file for one in self.carried if isinstance(one.file, Shown))

    def add(self, one: Carried) -> None:
        """One more."""
        self.carried.append(one)
        self.show()

    def drop(self, one: Carried) -> None:
        """Without this one."""
        self.carried = [other for other in self.carried if other is not one]
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
