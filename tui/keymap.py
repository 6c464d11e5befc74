"""Every key of the UI in one table. A binding is known by its id, and can be given other keys by it.

Left alone are keys that multiplexers and flow control take (Ctrl with A, B, S, O), and those that terminals send
for Tab, Enter and Backspace (Ctrl with I, M, H).
"""

from typing import Final, NamedTuple

from textual.binding import Binding


class Key(NamedTuple):
    """One key and what it is called in the footer and in the help."""

    keys: str
    label: str
    help: str
    shown: bool = True
    shown_as: str | None = None


KEYMAP: Final[dict[str, Key]] = {
    "app.models": Key("f2", "Models", "Go to the models", shown=False),
    "app.chat": Key("f3", "Chat", "Go to the chat", shown=False),
    "app.help": Key("f1", "Help", "Show the keys of this place"),
    "app.quit": Key("ctrl+q", "Quit", "Quit; a loaded model is unloaded", shown_as="^q"),
    "places.models": Key("1", "Models", "Go to the models, outside text fields", shown=False),
    "places.chat": Key("2", "Chat", "Go to the chat, outside text fields", shown=False),
    "models.open": Key("enter", "Chat", "Chat with the model; one that is not here is installed first"),
    "models.install": Key("i", "Install", "Install the model, or show the install that runs"),
    "models.filter": Key("slash", "Filter", "Filter by name, family, publisher or licence", shown_as="/"),
    "models.all": Key("a", "All", "Show also what is too large or too slow here"),
    "models.why": Key("question_mark", "Why", "Show or hide why a model stands where it stands", shown_as="?"),
    "models.refresh": Key("r", "Refresh", "Look at the machine and the sources again"),
    "models.unload": Key("u", "Unload", "End the engine and give its memory back"),
    "models.down": Key("j", "Down", "Next model", shown=False),
    "models.up": Key("k", "Up", "Model before", shown=False),
    "models.first": Key("g", "First", "First model", shown=False),
    "models.last": Key("G", "Last", "Last model", shown=False),
    "filter.leave": Key("escape", "Clear", "Clear the filter and go back to the list"),
    "filter.done": Key("down", "List", "Go to the list, and keep the filter", shown=False),
    "install.start": Key("enter", "Go on", "Start the install, try it again, or open the chat"),
    "install.cancel": Key("x", "Stop", "Stop the install; what has come is kept for the next try"),
    "install.leave": Key("escape", "Back", "Go back; an install that runs goes on"),
    "chat.send": Key("enter", "Send", "Send the message"),
    "chat.newline": Key("alt+enter,shift+enter,ctrl+j", "New line", "Begin a new line", shown=False),
    "chat.stop": Key("escape", "Stop", "Stop the answer and keep what was said"),
    "chat.new": Key("ctrl+n", "New", "Begin a new conversation", shown_as="^n"),
    "chat.messages": Key("alt+up", "Messages", "Go to the messages above", shown_as="alt+↑"),
    "chat.retry": Key("ctrl+r", "Retry", "Load the model again and ask the last question again", shown=False),
    "message.copy": Key("y", "Copy", "Copy the message"),
    "message.before": Key("up,k,alt+up", "Before", "Message before", shown=False),
    "message.next": Key("down,j,alt+down", "Next", "Next message", shown=False),
    "message.prompt": Key("escape", "Prompt", "Go back to the prompt"),
    "banner.retry": Key("enter,r", "Retry", "Try again"),
    "banner.leave": Key("escape", "Prompt", "Go back to the prompt"),
    "help.leave": Key("escape,f1,q", "Back", "Close the help", shown_as="esc"),
}


def bind(identifier: str, action: str, *, priority: bool = False) -> Binding:
    """The binding of one entry of the table."""
    key = KEYMAP[identifier]
    return Binding(
        key.keys,
        action,
        key.label,
        show=key.shown,
        key_display=key.shown_as,
        priority=priority,
        tooltip=key.help,
        id=identifier,
    )


def places() -> tuple[Binding, ...]:
    """The digits that lead to the places wherever no text is written."""
    return (bind("places.models", "app.place('models')"), bind("places.chat", "app.place('chat')"))
