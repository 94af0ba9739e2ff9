"""What the steps of a recipe would cost in a project: calls, dollars, hours of machines and people.

Every figure says what it rests on. What cannot be known is None, and so is a sum that it is in.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from math import comb

from pipelines.config import RunConfig
from pipelines.errors import BadInput
from pipelines.evaluate.suites import belongs, load_suite
from pipelines.generate.prompts import read_prompts
from pipelines.judge.engines import question_of
from pipelines.judge.modes import calls_per_judgment
from pipelines.judge.spec import JudgeSpec
from pipelines.models.spec import ModelSpec
from pipelines.run import Planned, Recipe, changed, planned
from workbench.advising.figures import (
    Rate,
    judge_rate,
    last_run,
    revise_rate,
    writer_rate,
)
from workbench.audit.options import StratumOptions
from workbench.data_files import data_dir
from workbench.project import Project
from workbench.prompt_sets import prompts_path


@dataclass(frozen=True)
class Cost:
    """Of a step, or of all. None: unknown.

    Attributes:
        step: What it is called.
        calls: Requests to services, local models left out.
        usd: For those calls.
        machine_hours: Of training and of local models.
        human_hours: Of people who label.
        human_usd: For them, at costs.usd_per_hour.
        rests_on: What is known, and what is not.
    """

    step: str
    calls: int | None = 0
    usd: float | None = 0.0
    machine_hours: float | None = 0.0
    human_hours: float | None = 0.0
    human_usd: float | None = 0.0
    rests_on: tuple[str, ...] = ()


def total(costs: Iterable[Cost]) -> Cost:
    """The sum; what is unknown in one is unknown in all."""
    listed = list(costs)

    def summed(key: str) -> float | None:
        values = [getattr(one, key) for one in listed]
        return None if None in values else sum(values)

    calls = summed("calls")
    return Cost(
        "all",
        calls=None if calls is None else int(calls),
        usd=summed("usd"),
        machine_hours=summed("machine_hours"),
        human_hours=summed("human_hours"),
        human_usd=summed("human_usd"),
    )


def costs_of(project: Project, recipe: Recipe) -> list[Cost]:
    """Of each step, in order; the steps of a round stand once for each round.

    Raises:
        BadInput: The recipe asks for what project.toml cannot have.
    """
    count = _Count(project)
    return [count.step(recipe, one) for one in planned(recipe)]


@dataclass
class _Count:
    """Goes through the steps and remembers what the later ones work on."""

    project: Project
    n_pairs: int | None = 0  # in the store, when the recipe begins with an empty one
    n_judged: dict[str, int | None] = field(default_factory=dict)
    n_responses: int | None = 0  # of the last step "generate"

    def step(self, recipe: Recipe, one: Planned) -> Cost:
        step, words = one.step, [f"round {one.round}," if one.round else "", one.step.stage]
        words += [step.method or "", step.name or "" if step.name != step.method else ""]
        called = " ".join(word for word in words if word)
        pairs = ({"pairs": one.pairs},) if one.pairs else ()
        try:
            config = changed(self.project.config, recipe.set, *pairs, step.set)
        except BadInput as error:
            if step.stage == "generate":
                self.n_responses = self.n_pairs = None
            return _unknown(called, str(error))
        match step.stage:
            case "generate":
                return self._generate(called, config)
            case "revise":
                return self._revise(called, config)
            case "judge":
                return self._judge(called, config, step.judges)
            case "audit":
                return self._audit(called, config)
            case "train":
                return self._train(called, str(step.method))
            case "evaluate":
                n_policies = len(step.policies or config.evaluate.policies)
                return self._evaluate(called, config, n_policies)
        return Cost(called, rests_on=("no model is asked",))

    def _generate(self, called: str, config: RunConfig) -> Cost:
        own = config.generate
        n_prompts, where = self._prompts(own.prompts)
        names = own.models or tuple(one.name for one in config.models)
        specs = [one for one in config.models if one.name in names]
        if n_prompts is None or not specs:
            self.n_responses = self.n_pairs = None
            return _unknown(called, where if n_prompts is None else "no [[models]] section")
        self.n_responses = n_prompts * own.n_candidates * len(specs)
        each = comb(own.n_candidates * len(specs), 2)
        each = min(each, own.pairs_per_prompt) if own.pairs_per_prompt else each
        self.n_pairs = None if self.n_pairs is None else self.n_pairs + n_prompts * each
        costs = [
            _asked(
                called,
                n_prompts * own.n_candidates,
                spec.engine == "endpoint",
                writer_rate(self.project.dir, spec),
            )
            for spec in specs
        ]
        return _joined(called, costs, (f"{n_prompts:,} prompts x {own.n_candidates}",))

    def _revise(self, called: str, config: RunConfig) -> Cost:
        spec = _model(config, config.revise.critic)
        if spec is None or self.n_responses is None:
            return _unknown(called, "no critic in [revise], or nothing to revise yet")
        rate, each = revise_rate(self.project.dir, spec)
        if each is None:
            return _unknown(
                called,
                f"{self.n_responses:,} responses; how many calls one takes depends on how often "
                "the rules are broken, and nothing was revised here yet",
            )
        n = round(self.n_responses * each)
        cost = _asked(called, n, spec.engine == "endpoint", rate)
        return _joined(
            called, [cost], (f"{self.n_responses:,} responses x {each:.1f} calls, measured here",)
        )

    def _judge(self, called: str, config: RunConfig, names: tuple[str, ...]) -> Cost:
        specs = [one for one in config.judges if not names or one.name in names]
        missing = [name for name in names if name not in {one.name for one in specs}]
        if missing or not specs:
            return _unknown(called, f"no judge {', '.join(missing)} in project.toml")
        costs = []
        for spec in specs:
            before = self.n_judged.get(spec.name, 0)
            self.n_judged[spec.name] = self.n_pairs
            if self.n_pairs is None or before is None:
                return _unknown(called, "how many pairs there will be")
            costs.append(self._judgments(spec, self.n_pairs - before))
        return _joined(called, costs)

    def _judgments(self, spec: JudgeSpec, n_pairs: int) -> Cost:
        n_orders = 1 if spec.mode in ("rating", "check") else len(spec.orders)
        template = question_of(spec, (self.project.dir, data_dir()))[1]
        each = calls_per_judgment(spec, template)
        n = n_pairs * n_orders * each
        about = f"{n_pairs:,} pairs x {n_orders} orders x {each} calls by {spec.name}"
        if n_orders == 1:
            about = f"{n_pairs:,} pairs x {each} calls by {spec.name}"
        cost = _asked(spec.name, n, spec.engine == "endpoint", judge_rate(self.project.dir, spec))
        return _joined(spec.name, [cost], (about,))

    def _audit(self, called: str, config: RunConfig) -> Cost:
        if self.n_pairs is None:
            return _unknown(called, "how many pairs there will be")
        audit = config.audit
        size = StratumOptions(share=audit.share, n_pairs=audit.n_pairs).size(self.n_pairs)
        return self._people(called, config, size, audit.overlap, audit.seconds_per_pair)

    def _people(
        self, called: str, config: RunConfig, n: int, overlap: float, seconds: float
    ) -> Cost:
        hours = n * (1.0 + overlap) * seconds / 3600.0
        about = f"{n:,} pairs at {seconds:g} s, {overlap:.0%} labelled twice, by [audit]"
        usd = hours * config.costs.usd_per_hour
        return Cost(called, human_hours=hours, human_usd=usd, rests_on=(about,))

    def _train(self, called: str, method: str) -> Cost:
        last = last_run(self.project.dir, method)
        if last is None:
            about = f"no run of {method} in this project: how long it takes is unknown"
            return Cost(called, machine_hours=None, rests_on=(about,))
        on = " on a CPU" if last.device == "cpu" else ""
        about = f"as long as its last run here, {last.run}{on}"
        return Cost(called, machine_hours=last.hours, rests_on=(about,))

    def _evaluate(self, called: str, config: RunConfig, n_policies: int) -> Cost:
        own = config.evaluate
        n_prompts, where = self._prompts(own.prompts)
        if n_prompts is None:
            return _unknown(called, where)
        chosen = [one for one in config.judges if not own.judges or one.name in own.judges]
        judges = [one for one in chosen if one.engine != "labeler" and one.mode != "check"]
        if not judges:
            return _unknown(called, "no judge that compares in project.toml")
        n_extra, why = self._suites(own.suites)
        if n_extra is None:
            return _unknown(called, why)
        costs = []
        if config.models:
            policy = config.models[0].model_copy(update={"engine": "local"})
            n = n_policies * (n_prompts + n_extra)
            costs.append(_asked(called, n, False, writer_rate(self.project.dir, policy)))
        n_pairs = n_prompts * comb(n_policies, 2)
        costs += [self._judgments(one, n_pairs) for one in judges]
        if own.audit_pairs:
            audit = config.audit
            costs.append(
                self._people(called, config, own.audit_pairs, audit.overlap, audit.seconds_per_pair)
            )
        about = f"{n_policies} policies on {n_prompts:,} held-out prompts and {n_extra:,} of suites"
        return _joined(called, costs, (about,))

    def _suites(self, names: Iterable[str]) -> tuple[int | None, str]:
        """Prompts of all suites."""
        n = 0
        for name in names:
            try:
                suite, path = load_suite(name, (self.project.dir, data_dir()))
                if not suite.prompts:
                    continue
                beside = path.parent / suite.prompts
                at = beside if beside.is_file() else prompts_path(suite.prompts, self.project.dir)
                read = read_prompts(at)
            except BadInput as error:
                return None, str(error)
            n += sum(belongs(suite, one.subset, one.meta) for one in read.prompts)
        return n, ""

    def _prompts(self, name: str) -> tuple[int | None, str]:
        try:
            return len(read_prompts(prompts_path(name, self.project.dir)).prompts), ""
        except BadInput:
            return None, f"no prompts at {name}: how many there will be is unknown"


def _asked(called: str, n: int, outside: bool, rate: Rate) -> Cost:
    hours = None if rate.seconds is None else n * rate.seconds / 3600.0
    usd = None if rate.usd is None else n * rate.usd
    if n == 0:
        hours, usd = 0.0, 0.0
    return Cost(called, n if outside else 0, usd, hours, rests_on=(rate.rests_on,))


def _joined(called: str, costs: Iterable[Cost], about: tuple[str, ...] = ()) -> Cost:
    listed = list(costs)
    said = [*about, *(line for one in listed for line in one.rests_on)]
    return replace(total(listed), step=called, rests_on=tuple(dict.fromkeys(said)))


def _unknown(called: str, why: str) -> Cost:
    return Cost(called, None, None, None, 0.0, 0.0, (why,))


def _model(config: RunConfig, name: str) -> ModelSpec | None:
    known = {one.name: one for one in config.models}
    return known.get(name) if name else next(iter(known.values()), None)
