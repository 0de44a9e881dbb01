"""The settings of a condition: what is allowed, what they are called, and their canonical form.

The canonical form makes every default explicit and every number one type, so that the same network
has the same cell id however it was asked for (``1e-3`` or ``0.001``, overrides in any order).
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from study.activations import ACTIVATIONS
from study.datasets import DATASETS
from study.errors import SettingError, nearest
from study.initializers import INITIALIZERS, WITHOUT_CRITICAL
from study.later import Later
from study.optimizers import OPTIMIZERS
from study.registry import Registry
from study.schema import FIRST_TUNING_SEED

if TYPE_CHECKING:
    from study import theory
else:  # as in study.activations
    theory = Later("study.theory")

Settings = dict[str, Any]

LARGEST_SEED = 2**53  # beyond it a JSON or SQL reader may round


@dataclass(frozen=True)
class Number:
    """A rule for one number.

    Attributes:
        whole: whether it must be an integer.
        low: smallest allowed value; excluded itself where ``open_low``.
        high: largest allowed value; excluded itself where ``open_high``.
        words: words allowed in place of a number.
        optional: whether ``null`` is allowed.
    """

    whole: bool = False
    low: float = -math.inf
    open_low: bool = False
    high: float = math.inf
    open_high: bool = False
    words: tuple[str, ...] = ()
    optional: bool = False

    def __str__(self) -> str:
        kind = "a whole number" if self.whole else "a finite number"
        bounds = []
        form = "d" if self.whole else "g"
        if math.isfinite(self.low):
            bounds.append(f"{'above' if self.open_low else 'of at least'} {self.low:{form}}")
        if math.isfinite(self.high):
            most = "below" if self.open_high else "at most" if bounds else "of at most"
            bounds.append(f"{most} {self.high:{form}}")
        others = [f"'{word}'" for word in self.words] + ["null"] * self.optional
        number = " and ".join([f"{kind} {bounds[0]}", *bounds[1:]] if bounds else [kind])
        return " or ".join([number, *others])

    def check(self, path: str, value: Any) -> Any:
        """Return the value in its canonical type.

        Raises:
            SettingError: the value breaks the rule.
        """
        if (self.optional and value is None) or value in self.words:
            return value
        refused = SettingError(f"cannot use {path}={value}: it must be {self}.")
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise refused
        # an integer beyond the largest float is of no use either
        if abs(value) > sys.float_info.max or value != value:
            raise refused
        if self.whole and value != int(value):
            raise refused
        if value < self.low or (self.open_low and value == self.low):
            raise refused
        if value > self.high or (self.open_high and value == self.high):
            raise refused
        return int(value) if self.whole else float(value) + 0.0  # −0.0 becomes 0.0


def whole(low: int, high: float = math.inf, **more: Any) -> Number:
    """Return the rule for an integer of at least ``low``."""
    return Number(whole=True, low=low, high=high, **more)


PLAIN_RULES: dict[str, Number] = {
    "depth": whole(1),
    "width": whole(1),
    "steps": whole(0),
    "batch_size": whole(1),
    "seed": whole(0, LARGEST_SEED),
    "seeds": whole(1, 1_000_000),
    "tuning_seeds": whole(0, 1_000),
    "dropout": Number(low=0.0, high=1.0, open_high=True),
}

CHOICES: dict[str, tuple[str, ...]] = {
    "norm": ("none", "batch", "layer"),
    "dtype": ("float32", "float64"),
    "device": ("auto", "cpu", "cuda"),
    "retry": ("failed", "diverged", "none"),
}

GROUPS: dict[str, Registry[Any]] = {
    "activation": ACTIVATIONS,
    "init": INITIALIZERS,
    "data": DATASETS,
    "optim": OPTIMIZERS,
}

CLIPS = ("clip_norm", "clip_value", "clip_to_one")
"""Parameters of ``optim`` that change the gradient before the update; one at most is set."""

COMMON_PARAMETERS: dict[str, dict[str, Any]] = {
    "data": {"label_noise": 0.0, "train_size": None},
    "optim": {"lr": 0.1, "weight_decay": 0.0, **dict.fromkeys(CLIPS)},
}
"""Parameters that every entry of a group has, with their defaults."""

NEUTRAL: dict[str, Any] = {
    "norm": "none",
    "dropout": 0.0,
    "optim.clip_value": None,
    "optim.clip_to_one": None,
}
"""Settings that came after networks had been published, with the values that change nothing in one.

The canonical form leaves such a setting out while it has this value: a network's id is the hash of its
settings, and that of a published network must not change because there is one more of them.
"""

PARAMETER_RULES: dict[str, Number] = {
    "init.std": Number(low=0.0),
    "init.lsuv.tolerance": Number(low=0.0, open_low=True),
    "init.lsuv.iterations": whole(1),
    "init.rbm.epochs": whole(1),
    "init.rbm.learning_rate": Number(low=0.0, open_low=True),
    "init.rbm.batch_size": whole(1),
    "init.killed.layer": whole(1),
    "data.label_noise": Number(low=0.0, high=1.0),
    "data.train_size": whole(1, optional=True),
    "data.dim": whole(1, 10_000),
    "data.classes": whole(2, 10_000),
    "data.noise": Number(low=0.0),
    "optim.lr": Number(low=0.0, high=1e6),
    "optim.weight_decay": Number(low=0.0, high=1e6),
    **{f"optim.{key}": Number(low=0.0, open_low=True, optional=True) for key in CLIPS},
    "optim.momentum": Number(low=0.0, high=1.0),
    "optim.alpha": Number(low=0.0, high=1.0),
    "optim.beta1": Number(low=0.0, high=1.0, open_high=True),
    "optim.beta2": Number(low=0.0, high=1.0, open_high=True),
    "optim.eps": Number(low=0.0, open_low=True),
    "probe.steps": whole(2),
    "probe.samples": whole(1, words=("all",)),
}
"""Rules of the parameters that have bounds, of a group or of one function; another is a finite number."""

PROBE_DEFAULTS: dict[str, Any] = {"steps": 20, "samples": 512}

TOP_LEVEL = ("name", *PLAIN_RULES, "bias", *CHOICES, *GROUPS, "probe")


def study_name(value: Any) -> str:
    """Return a study's name if it names a folder right under ``outputs/``.

    Raises:
        SettingError: the name could leave ``outputs/`` or is no portable folder name.
    """
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,99}", value):
        shown = str(value)[:60].encode("unicode_escape").decode()
        raise SettingError(
            f"cannot use name={shown}: a study's name is its folder under outputs/, at most 100 letters, "
            "digits, '_', '-' and '.', and does not begin with '.' or '-'."
        )
    return value


def _one_of(path: str, value: Any, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise SettingError(
            f"cannot use {path}={value}: allowed are {', '.join(allowed)}"
            f"{nearest(str(value), allowed)}."
        )
    return str(value)


def _switch(path: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise SettingError(f"cannot use {path}={value}: it must be true or false.")
    return value


def _refuse_unknown(prefix: str, given: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for key in given:
        if key not in known:
            raise SettingError(
                f"cannot set {prefix}{key}={given[key]}: there is no such setting, allowed are "
                f"{', '.join(prefix + name for name in known)}{nearest(str(key), known)}."
            )


def _group(group: str, given: Any) -> Settings:
    """Return the canonical settings of one group: its name and every parameter, defaults filled in.

    A function of the user's own adds the digest of its code, so that networks are known apart that were
    trained before and after it was edited.
    """
    if not isinstance(given, Mapping) or "name" not in given:
        raise SettingError(f"cannot use {group}={given}: allowed are {', '.join(GROUPS[group])}.")
    entry = GROUPS[group][given["name"]]
    defaults = {**COMMON_PARAMETERS.get(group, {}), **entry.parameters}
    _refuse_unknown(f"{group}.", given, ("name", *defaults))
    canonical: Settings = {"name": entry.name}
    for key, default in defaults.items():
        path = f"{group}.{key}"
        value = given.get(key, default)
        if isinstance(default, bool):
            canonical[key] = _switch(path, value)
        else:
            usual = PARAMETER_RULES.get(path, Number(whole=isinstance(default, int)))
            rule = PARAMETER_RULES.get(f"{group}.{entry.name}.{key}", usual)
            canonical[key] = rule.check(path, value)
    if entry.code is not None:
        canonical["code"] = entry.code
    return canonical


def setting(settings: Mapping[str, Any], path: str) -> Any:
    """Return one of the settings in `NEUTRAL` from canonical settings, in which it may be left out.

    Args:
        settings: canonical settings.
        path: dotted name, ``"norm"`` or ``"optim.clip_value"``.
    """
    group, _, key = path.rpartition(".")
    return (settings[group] if group else settings).get(key, NEUTRAL[path])


def _without_neutral(settings: Settings, prefix: str = "") -> Settings:
    """Return settings without those that have their value in `NEUTRAL`."""
    return {
        key: _without_neutral(value, f"{prefix}{key}.") if isinstance(value, dict) else value
        for key, value in settings.items()
        if prefix + key not in NEUTRAL or value != NEUTRAL[prefix + key]
    }


def can_run(settings: Settings) -> bool:
    """Return whether every function that a cell's settings name is here, and of the same code."""
    for group, registry in GROUPS.items():
        chosen = settings[group]
        if chosen["name"] not in registry or registry[chosen["name"]].code != chosen.get("code"):
            return False
    return True


def canonical_condition(given: Mapping[str, Any]) -> tuple[Settings, list[int]]:
    """Check a condition's settings and bring them to canonical form.

    Args:
        given: the composed settings; those left out take their defaults (not ``depth`` and the groups).

    Returns:
        The science settings without the seed, those in `NEUTRAL` only where they change something, and
        the seeds of the condition's networks, those for choosing rates last.

    Raises:
        SettingError: a setting is unknown or its value not allowed.
    """
    _refuse_unknown("", given, TOP_LEVEL)
    if missing := [key for key in ("depth", *GROUPS) if key not in given]:
        raise SettingError(f"cannot run without {missing[0]}: it has no default.")
    plain = {
        "width": 64,
        "steps": 300,
        "batch_size": 128,
        "seed": 0,
        "seeds": 5,
        "tuning_seeds": 0,
    } | {
        "dropout": NEUTRAL["dropout"],
        **{key: given[key] for key in PLAIN_RULES if key in given},
    }
    checked = {key: PLAIN_RULES[key].check(key, value) for key, value in plain.items()}
    first, count = checked.pop("seed"), checked.pop("seeds")
    PLAIN_RULES["seed"].check("seed + seeds", first + count - 1)
    seeds = [*range(first, first + count), *_tuning(first, count, checked.pop("tuning_seeds"))]
    probe = given.get("probe", {})
    if not isinstance(probe, Mapping):
        raise SettingError(
            f"cannot use probe={probe}: it has the settings "
            f"{', '.join(f'probe.{key}' for key in PROBE_DEFAULTS)}."
        )
    _refuse_unknown("probe.", probe, tuple(PROBE_DEFAULTS))
    settings: Settings = {
        **checked,
        "bias": _switch("bias", given.get("bias", True)),
        "norm": _one_of("norm", given.get("norm", NEUTRAL["norm"]), CHOICES["norm"]),
        "dtype": _one_of("dtype", given.get("dtype", "float32"), CHOICES["dtype"]),
        "probe": {
            key: PARAMETER_RULES[f"probe.{key}"].check(f"probe.{key}", probe.get(key, default))
            for key, default in PROBE_DEFAULTS.items()
        },
        **{group: _group(group, given[group]) for group in GROUPS},
    }
    _check_sizes(settings)
    _check_label_noise(settings["data"])
    _check_critical(settings)
    _check_data_dependent(settings)
    _check_norm(settings)
    _check_clips(settings["optim"])
    return _without_neutral(settings), seeds


def _tuning(first: int, count: int, tuning: int) -> range:
    """Return the seeds that are set apart for choosing rates.

    Raises:
        SettingError: they would be some of the others.
    """
    if tuning and first + count > FIRST_TUNING_SEED:
        raise SettingError(
            f"cannot use tuning_seeds={tuning} with seed={first} and seeds={count}: tuning seeds begin at "
            f"{FIRST_TUNING_SEED}, so that seed + seeds must be at most {FIRST_TUNING_SEED}."
        )
    return range(FIRST_TUNING_SEED + first, FIRST_TUNING_SEED + first + tuning)


def _check_sizes(settings: Settings) -> None:
    """Refuse a training set larger than the data and a batch larger than the training set."""
    data = settings["data"]
    available = DATASETS[data["name"]].extra.train
    size = data["train_size"]
    if size is not None and size > available:
        raise SettingError(
            f"cannot use data.train_size={size}: {data['name']} has {available} training samples."
        )
    # None and the full number ask for the same networks
    data["train_size"] = available if size is None else size
    if settings["batch_size"] > data["train_size"]:
        raise SettingError(
            f"cannot use batch_size={settings['batch_size']}: the training set has only "
            f"{data['train_size']} samples."
        )
    samples = settings["probe"]["samples"]
    if samples == "all" or samples > data["train_size"]:
        settings["probe"]["samples"] = data["train_size"]


def _check_label_noise(data: Settings) -> None:
    """Refuse label noise where there are no classes to confuse."""
    if data["label_noise"] > 0 and DATASETS[data["name"]].extra.task == "regression":
        raise SettingError(
            f"cannot use data.label_noise={data['label_noise']:g}: data={data['name']} is a regression, "
            "whose targets have no other class to be given; it must be 0."
        )


def _check_critical(settings: Settings) -> None:
    """Refuse a critical start of an activation that has none."""
    init, activation = settings["init"], settings["activation"]
    if init["name"] != "critical" or "code" in init:
        return
    if theory.critical_weight_variance(activation) is None:
        raise SettingError(
            f"cannot use init=critical with activation={activation['name']}: {WITHOUT_CRITICAL}."
        )


def _check_data_dependent(settings: Settings) -> None:
    """Refuse pre-training of units that no RBM has, and a killed layer that is not there or cannot die."""
    init, activation, name = settings["init"], settings["activation"], settings["init"]["name"]
    if name not in ("rbm", "killed"):
        return
    refused = f"cannot use init={name} with"
    if not settings["bias"]:
        raise SettingError(
            f"{refused} bias=false: part of its start are the biases; use bias=true."
        )
    if name == "rbm" and activation["name"] != "sigmoid":
        raise SettingError(
            f"{refused} activation={activation['name']}: it pre-trains units whose output is a "
            "probability, so only activation=sigmoid is allowed."
        )
    # one of the user's own may die as ReLU does
    if name == "killed" and activation["name"] != "relu" and "code" not in activation:
        raise SettingError(
            f"{refused} activation={activation['name']}: only units with slope 0 wherever z is negative "
            "can be dead, so only activation=relu is allowed."
        )
    if name == "killed" and init["layer"] > settings["depth"] - 1:
        raise SettingError(
            f"{refused} init.layer={init['layer']} and depth={settings['depth']}: it must be one of the "
            f"hidden layers, of which there are {settings['depth'] - 1}."
        )


def _check_norm(settings: Settings) -> None:
    """Refuse batch normalization over a single sample, of which nothing would be left."""
    if settings["norm"] != "batch":
        return
    for path, samples in (
        ("batch_size", settings["batch_size"]),
        ("probe.samples", settings["probe"]["samples"]),
    ):
        if samples < 2:
            raise SettingError(
                f"cannot use {path}={samples} with norm=batch: its mean and variance are taken over "
                "samples, of which there must be at least 2."
            )


def _check_clips(optim: Settings) -> None:
    """Refuse two ways of clipping one gradient."""
    chosen = [f"optim.{key}={optim[key]:g}" for key in CLIPS if optim[key] is not None]
    if len(chosen) > 1:
        raise SettingError(
            f"cannot use {' with '.join(chosen)}: at most one of {', '.join(CLIPS)} may be set."
        )


def check_device(value: Any) -> str:
    """Return the checked ``device`` setting: auto, cpu or cuda."""
    return _one_of("device", value, CHOICES["device"])
