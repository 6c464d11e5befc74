"""`landfast select`: which model is best here, and why."""

import msgspec

from deploy.commands.availability import availability, reach_all, reach_messages
from deploy.commands.context import Context
from deploy.errors import ExitCode
from deploy.fit.fit import Workload
from deploy.fit.rank import Ranking, rank
from deploy.results import Problem, Result
from deploy.sources.base import Reach
from profiles.budget import Budget, budget
from profiles.machine import Machine


class SelectData(msgspec.Struct, frozen=True, kw_only=True):
    """The order of all models on this machine, and what it rests on."""

    machine: Machine
    budget: Budget
    workload: Workload
    catalogue_dated: str
    reach: tuple[Reach, ...]
    ranking: Ranking


def select(context: Context, workload: Workload) -> Result[SelectData]:
    """Rank the catalogue. What cannot be had from here is refused with that reason."""
    machine = context.profile()
    found = budget(machine)
    catalog = context.catalog()
    reach = reach_all(context.sources)
    ranking = rank(catalog, found, workload, availability(context, reach))
    data = SelectData(
        machine=machine,
        budget=found,
        workload=workload,
        catalogue_dated=catalog.dated,
        reach=reach,
        ranking=ranking,
    )
    messages = reach_messages(context, reach)
    if ranking.chosen is None:
        return Result(
            command="select",
            status="error",
            data=data,
            messages=messages,
            errors=(_nothing(ranking, workload),),
            exit_code=ExitCode.NOTHING_FITS,
        )
    return Result(command="select", data=data, messages=messages)


def _nothing(ranking: Ranking, workload: Workload) -> Problem:
    out_of_reach = sum(1 for candidate in ranking.refused if candidate.fit.verdict == "fits")
    if out_of_reach:
        return Problem(
            "nothing-fits",
            f"{out_of_reach} models fit this machine, but none of them can be had from here.",
            "Connect to a hub or a mirror, or bring files and use `landfast install MODEL --from FOLDER`.",
        )
    return Problem(
        "nothing-fits",
        f"No model fits this machine with {workload.context_tokens:,} tokens of context "
        f"at {workload.min_decode_tok_s:g} tokens a second.",
        "Ask for a shorter --context or a lower --min-speed, or free memory.",
    )
