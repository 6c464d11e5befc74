"""What a site file can say: the wanted state of a host. The schema and the documentation are made from these types."""

from typing import Annotated, Any, Final, Literal

import msgspec

from deploy.fit.fit import DEFAULT_CONTEXT_TOKENS, DEFAULT_MIN_DECODE_TOK_S, Workload
from deploy.fit.suit import Purpose
from deploy.quantities import read_size, read_tokens

SCHEMA: Final = "landfast.site/1"

SourceKind = Literal["bundle", "folder", "mirror", "package index", "hub"]
Timer = Literal["hourly", "daily", "weekly"]

Version = Annotated[str, msgspec.Meta(pattern=r"^\d+(\.\d+)*$")]
Account = Annotated[str, msgspec.Meta(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")]
Days = Annotated[int, msgspec.Meta(ge=1)]


def _meant(meaning: str, example: Any) -> msgspec.Meta:
    """What a key means, for the schema and the documentation."""
    return msgspec.Meta(description=meaning, examples=[example])


class ModelWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model that is to be installed: by its name, or by what it is wanted for."""

    name: Annotated[str | None, _meant("Model id, or id:QUANT.", "qwen3-8b:Q4_K_M")] = None
    best: Annotated[
        Purpose | None, _meant("The best model for this that fits, within the policy; in place of `name`.", "code")
    ] = None
    purpose: Annotated[
        Purpose | None, _meant("What the model of `name` is for; for `vision` its projector comes too.", "vision")
    ] = msgspec.field(default=None, name="for")
    context: Annotated[int | str, _meant("Context in tokens: prompt and answer.", "32k")] = DEFAULT_CONTEXT_TOKENS
    min_speed: Annotated[float, _meant("Slowest acceptable speed of writing, in tok/s.", 10)] = DEFAULT_MIN_DECODE_TOK_S
    language: Annotated[str | None, _meant("Language that the model must be made for.", "de")] = None
    users: Annotated[int, msgspec.Meta(ge=1), _meant("Conversations in memory at once.", 4)] = 1

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        if (self.name is None) == (self.best is None):
            raise ValueError("it must have either name or best")
        if self.best is not None and self.purpose is not None:
            raise ValueError("best already says what it is for; leave out the key for")
        read_tokens(self.context)
        if self.min_speed < 0:
            raise ValueError("min_speed must not be negative")

    @property
    def workload(self) -> Workload:
        """The need as the ranking takes it."""
        return Workload(
            context_tokens=read_tokens(self.context),
            min_decode_tok_s=self.min_speed,
            purpose=self.best or self.purpose or "chat",
            language=self.language,
            users=self.users,
        )

    @property
    def text(self) -> str:
        """The wish in words: by them the lock file knows it again."""
        need = [f"for {self.purpose}"] if self.purpose else []
        need += [f"{read_tokens(self.context)} tokens", f"{self.min_speed:g} tok/s"]
        need += [f"language {self.language}"] if self.language else []
        need += [f"{self.users} users"] if self.users > 1 else []
        return f"{self.name or f'best {self.best}'}, {', '.join(need)}"


class Require(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What must be on the host already."""

    landfast: Annotated[Version | None, _meant("Oldest acceptable version of Landfast.", "0.1.0")] = None
    engine: Annotated[Version | None, _meant("Oldest acceptable version of llama-cpp-python.", "0.3.36")] = None


class StoreWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose the models are."""

    scope: Annotated[
        Literal["user", "system"], _meant("For whoever applies the file, or for the whole host.", "system")
    ]


class Users(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who may use the models of the whole host."""

    group: Annotated[Account, _meant("Group that may read the store; created where it does not exist.", "landfast")] = (
        "landfast"
    )
    members: Annotated[tuple[Account, ...], _meant("Users who are to be in the group.", ["anna", "ben"])] = ()
    service_account: Annotated[
        Account | None, _meant("System account, without login, that the checks run as.", "landfast")
    ] = None


class Sources(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where models may come from. Nothing else is asked."""

    order: Annotated[
        tuple[SourceKind, ...],
        _meant("Kinds of places, first choice first; default: the places that are named here.", ["bundle", "mirror"]),
    ] = ()
    bundle: Annotated[str | None, _meant("Folder of a signed bundle.", "/media/stick/landfast-bundle")] = None
    folder: Annotated[str | None, _meant("Folder with model files.", "/srv/models")] = None
    mirror: Annotated[str | None, _meant("Web server with model files.", "https://models.example.lan/")] = None
    trusted_keys: Annotated[
        tuple[str, ...], _meant("Public keys whose bundles are accepted; paths beside the site file.", ["site.pub"])
    ] = ()
    max_rate: Annotated[str | None, _meant("Transfer at most this much a second.", "20MB")] = None

    def __post_init__(self) -> None:
        """Refuse an order that names a place of which nobody said where it is."""
        for kind in ("bundle", "folder", "mirror"):
            if kind in self.order and getattr(self, kind) is None:
                raise ValueError(f"order lists the {kind}, but {kind} does not say where it is")
        if self.max_rate is not None:
            read_size(self.max_rate)

    @property
    def kinds(self) -> tuple[SourceKind, ...]:
        """What is asked, in this order; nothing where the file names no place."""
        named: tuple[SourceKind, ...] = ("bundle", "folder", "mirror")
        return self.order or tuple(kind for kind in named if getattr(self, kind) is not None)


class JournalWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The record of what is done."""

    required: Annotated[
        bool, _meant("Change nothing where the change cannot be written into the journal first.", True)  # noqa: FBT003
    ] = False


class Retention(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long what is no longer wanted stays."""

    journal_days: Annotated[
        Days | None,
        _meant("A new journal begins after so many days; old ones are deleted as many days after their end.", 365),
    ] = None
    old_models: Annotated[
        Annotated[int, msgspec.Meta(ge=0)] | None,
        _meant(
            "How many models that an earlier `apply` installed, and that are no longer listed, stay; and how many "
            "former versions of each that is listed. Default: all.",
            1,
        ),
    ] = None
    unlisted: Annotated[
        Literal["keep", "remove"], _meant("What happens to models that others installed.", "remove")
    ] = "keep"


class Drift(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Watching that the host stays as wanted."""

    timer: Annotated[
        Timer, _meant("How often systemd checks the host against this file and hashes all models.", "daily")
    ]


class Site(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The wanted state of a host."""

    schema: Annotated[Literal["landfast.site/1"], _meant("Version of this format.", SCHEMA)] = SCHEMA
    models: Annotated[tuple[ModelWish, ...], msgspec.Meta(description="One [[models]] section for each.")] = ()
    require: Annotated[Require, msgspec.Meta(description="What must be on the host already.")] = Require()
    store: Annotated[StoreWish, msgspec.Meta(description="Whose the models are.")] = StoreWish(scope="user")
    users: Annotated[
        Users | None, msgspec.Meta(description="Who may use the models; for a store of the whole host.")
    ] = None
    policy: Annotated[
        dict[str, Any] | None,
        msgspec.Meta(description="The rules: `file`, or the sections of a policy, as [policy.allow]."),
    ] = None
    sources: Annotated[Sources, msgspec.Meta(description="Where models may come from.")] = Sources()
    journal: Annotated[JournalWish, msgspec.Meta(description="The record of what is done.")] = JournalWish()
    retention: Annotated[Retention, msgspec.Meta(description="How long what is no longer wanted stays.")] = Retention()
    drift: Annotated[Drift | None, msgspec.Meta(description="Watching that the host stays as wanted.")] = None

    def __post_init__(self) -> None:
        """Refuse what only an administrator's store can have."""
        if self.store.scope != "system":
            for name in ("users", "drift"):
                if getattr(self, name) is not None:
                    raise ValueError(f'[{name}] needs a store of the whole host: [store] scope = "system"')
        texts = [wish.text for wish in self.models]
        twice = next((text for text in texts if texts.count(text) > 1), None)
        if twice is not None:
            raise ValueError(f"one model is listed twice: {twice}")


SECTIONS: Final[dict[str, type[msgspec.Struct]]] = {
    "models": ModelWish,
    "require": Require,
    "store": StoreWish,
    "users": Users,
    "sources": Sources,
    "journal": JournalWish,
    "retention": Retention,
    "drift": Drift,
}
"""By name, all sections whose keys are known here; those of the policy are its own."""
