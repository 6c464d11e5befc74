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
    "app.jobs": Key("f4", "Jobs", "Go to the installs", shown=False),
    "app.policy": Key("f6", "Policy", "Go to the rules, the seal and the journal", shown=False),
    "app.help": Key("f1", "Help", "Explain this place, what has the focus, and its keys"),
    "app.quit": Key("ctrl+q", "Quit", "Quit; a loaded model is unloaded", shown_as="^q"),
    "places.models": Key("1", "Models", "Go to the models, outside text fields", shown=False),
    "places.chat": Key("2", "Chat", "Go to the chat, outside text fields", shown=False),
    "places.jobs": Key("3", "Jobs", "Go to the installs, outside text fields", shown=False),
    "places.policy": Key("5", "Policy", "Go to the rules, outside text fields", shown=False),
    "models.open": Key("enter", "Chat", "Chat with the model; one that is not here is installed first"),
    "models.back": Key("escape", "This machine", "Leave the simulated machine and come back to this one"),
    "models.why": Key("question_mark", "Why", "Show or hide why a model is where it is in the list", shown_as="?"),
    "models.filter": Key("slash", "Find", "Find by name, family, publisher or licence", shown_as="/"),
    "models.wishes": Key("f", "Filters", "Say what the model is wanted for, and what the list shows"),
    "models.simulate": Key("s", "Simulate", "See what another machine could run, or come back to this one"),
    "models.install": Key("i", "Install", "Install the model, or show its install"),
    "models.remove": Key("d", "Remove", "Remove an installed model from this machine, after a question"),
    "models.compare": Key("v", "Compare", "Compare the two marked models, or the marked one with this one"),
    "models.mark": Key("space", "Mark", "Mark the model to compare it; two can be marked"),
    "models.all": Key("a", "All", "Show also what is too large or too slow here"),
    "models.refresh": Key("r", "Refresh", "Look at the machine and the sources again"),
    "models.unload": Key("u", "Unload", "End the engine and give its memory back"),
    "models.down": Key("j", "Down", "Next model", shown=False),
    "models.up": Key("k", "Up", "Previous model", shown=False),
    "models.first": Key("g", "First", "First model", shown=False),
    "models.last": Key("G", "Last", "Last model", shown=False),
    "filter.leave": Key("escape", "Clear", "Clear the filter and go back to the list"),
    "filter.done": Key("down", "List", "Go to the list, and keep the filter", shown=False),
    "compare.leave": Key("escape,v,q", "Back", "Close the comparison", shown_as="esc"),
    "simulate.take": Key("enter", "Take", "Plan for this machine"),
    "simulate.leave": Key("escape", "Back", "Close the list of machines"),
    "simulate.list": Key("down", "List", "Go to the list of machines", shown=False),
    "wishes.apply": Key("enter", "Apply", "Work out the list again for these wishes"),
    "wishes.leave": Key("escape", "Back", "Leave everything as it is"),
    "wishes.next": Key("right,l,space", "Next", "Next choice", shown_as="→"),
    "wishes.before": Key("left,h", "Previous", "Previous choice", shown_as="←"),
    "wishes.down": Key("down,j", "Down", "Next wish", shown=False),
    "wishes.up": Key("up,k", "Up", "Previous wish", shown=False),
    "jobs.go_on": Key(
        "enter", "Continue", "Start it, try it again, continue where it stopped, or chat with what is installed"
    ),
    "jobs.cancel": Key("x", "Stop", "Stop the install; what has come is kept for the next try"),
    "jobs.clear": Key("c", "Clear", "Remove ended installs from the list"),
    "jobs.down": Key("j", "Down", "Next job", shown=False),
    "jobs.up": Key("k", "Up", "Previous job", shown=False),
    "policy.details": Key("enter", "Details", "Show everything about this line; up and down scroll it"),
    "policy.leave": Key("escape", "List", "Go back to the list", shown=False),
    "policy.audit": Key("a", "Audit", "Attack the sealed engine from inside, and write a signed report"),
    "policy.verify": Key("v", "Verify", "Check the chain of the journal from its first line to its last"),
    "policy.check": Key("t", "Test a file", "See what one more policy file would refuse; nothing is changed"),
    "policy.refresh": Key("r", "Refresh", "Read the rules and the journal again"),
    "policy.down": Key("j", "Down", "Next line", shown=False),
    "policy.up": Key("k", "Up", "Previous line", shown=False),
    "ask.take": Key("enter", "Continue", "Accept what is written"),
    "ask.leave": Key("escape", "Back", "Leave without an answer"),
    "install.start": Key("enter", "Continue", "Start the install, try it again, or open the chat"),
    "install.cancel": Key("x", "Stop", "Stop the install; what has come is kept for the next try"),
    "install.leave": Key("escape", "Back", "Go back; a running install continues"),
    "message.copy": Key("y", "Copy", "Copy the message as it was written"),
    "message.code": Key("c", "Code", "Copy the code in the message"),
    "message.again": Key("r", "Again", "Write the newest answer again"),
    "message.edit": Key("e", "Edit", "Rewrite the question; the old conversation stays in the list"),
    "message.fork": Key("f", "Fork", "Continue from here in a conversation of its own; this one stays in the list"),
    "message.fold": Key("space", "Fold", "Show or hide what the model thought, or a long question"),
    "message.all": Key("Y", "Copy all", "Copy the whole conversation as Markdown"),
    "message.before": Key("up,k,alt+up", "Previous", "Previous message", shown=False),
    "message.next": Key("down,j,alt+down", "Next", "Next message", shown=False),
    "message.prompt": Key("escape", "Prompt", "Go back to the prompt"),
    "find.older": Key("enter,up", "Older", "Next message upwards that holds the text", shown_as="enter"),
    "find.newer": Key("down", "Newer", "Next message downwards that holds the text"),
    "find.leave": Key("escape", "Back", "Close the search, and stay at the message found"),
    "banner.retry": Key("enter,r", "Retry", "Try again"),
    "banner.leave": Key("escape", "Prompt", "Go back to the prompt"),
    "prompt.leave": Key("escape", "Leave", "Leave the message as it was"),
    "prompt.page_up": Key("pageup", "Page up", "Scroll the conversation up", shown=False),
    "prompt.page_down": Key("pagedown", "Page down", "Scroll the conversation down", shown=False),
    "chat.send": Key("enter", "Send", "Send the message"),
    "chat.newline": Key("alt+enter,shift+enter,ctrl+j", "New line", "Begin a new line", shown=False),
    "chat.stop": Key(
        "escape,ctrl+c", "Stop", "Stop the answer and keep what was said; or stop loading (Ctrl+C, too)", shown_as="esc"
    ),
    "chat.new": Key("ctrl+n", "New", "Begin a new conversation", shown_as="^n"),
    "chat.attach": Key("ctrl+t", "Attach", "Attach a text or an image to the next message", shown_as="^t"),
    "chat.messages": Key("alt+up", "Messages", "Go to the messages above", shown_as="alt+↑"),
    "chat.model": Key("f12", "Model", "Continue with another model; the conversation stays"),
    "chat.keep": Key("f9", "Save", "Save this conversation from now on, or delete what was saved of it"),
    "chat.session": Key(
        "shift+f9,f21",
        "Keep session",
        "Keep on the disk what the model has read, so that it need not read it again",
        shown=False,
        shown_as="shift+F9",
    ),
    "chat.talks": Key("ctrl+l", "List", "Show all conversations, open and saved, and continue one", shown_as="^l"),
    "chat.settings": Key("f7", "Settings", "Say how answers are drawn: temperature, seed, longest answer"),
    "prompt.settings": Key("f7", "Settings", "Say how answers are drawn: temperature, seed, longest answer"),
    "chat.system": Key("f8", "System prompt", "Write the system prompt", shown=False),
    "chat.find": Key("ctrl+f", "Find", "Find text in this conversation", shown_as="^f"),
    "prompt.find": Key("ctrl+f", "Find", "Find text in this conversation", shown_as="^f"),
    "chat.export": Key("ctrl+g", "Export", "Write the conversation to a file, as Markdown or JSON", shown=False),
    "chat.end": Key("ctrl+end", "End", "Go to the end of the conversation, and stay there", shown=False),
    "chat.retry": Key("ctrl+r", "Retry", "Do what the message about a problem offers", shown=False),
    "file.done": Key("enter", "Continue", "Take the file"),
    "file.complete": Key("right", "Complete", "At the end of the line, complete the name", shown_as="→"),
    "file.leave": Key("escape", "Back", "Leave without a file"),
    "settings.apply": Key("enter", "Apply", "Apply this from the next message on"),
    "settings.next": Key("tab", "Next field", "Go to the next field"),
    "settings.newline": Key("alt+enter,shift+enter,ctrl+j", "New line", "Begin a new line", shown=False),
    "settings.leave": Key("escape", "Back", "Leave everything as it is"),
    "talks.open": Key("enter", "Open", "Continue the conversation under the cursor"),
    "talks.find": Key("slash", "Find", "Find in titles and messages", shown_as="/"),
    "talks.list": Key("down", "List", "Go to the list", shown=False),
    "talks.delete": Key("d", "Delete", "Delete this conversation, after a question"),
    "talks.leave": Key("escape", "Back", "Close the list"),
    "switch.take": Key("enter", "Take", "Load this model in place of the present one"),
    "switch.down": Key("j", "Down", "Next model", shown=False),
    "switch.up": Key("k", "Up", "Previous model", shown=False),
    "switch.leave": Key("escape", "Back", "Keep the model that is loaded"),
    "confirm.yes": Key("y", "Yes", "Do it"),
    "confirm.no": Key("enter,escape,n", "No", "Leave everything as it is"),
    "help.leave": Key("escape,f1,q", "Back", "Close the help", shown_as="esc"),
}


PLACES: Final = ("models", "chat", "jobs", "policy")
"""In the order of their keys."""


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
    return tuple(bind(f"places.{place}", f"app.place('{place}')") for place in PLACES)


def over_a_place() -> tuple[Binding, ...]:
    """The keys of the app that hold in a window over a place, too; the toolkit shuts out all others there."""
    return (bind("app.help", "app.help"), bind("app.quit", "app.quit", priority=True))
