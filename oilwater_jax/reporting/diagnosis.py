"""Diagnose a run in the paper's terms: its failure signatures, one sentence each.

`diagnose` is a pure function of a summary. A signature is named only where every figure that it needs is there.

References: "Like Oil and Water" (arXiv 2504.02142), failure signatures: amplification failure, defence
over-pruning, combined stagnation. "Attack amplified" (ours) is the paper's main finding where WGA does rise.
"""

from typing import Any, NamedTuple

from oilwater_jax.reporting.summary import set_label


class Thresholds(NamedTuple):
    """Thresholds of the diagnosis."""

    # One training's WGA or ASR differs by 2 to 4 points from seed to seed (experiments/headline): less says nothing.
    change: float = 0.05
    # Most of the poisons: draws are multiplied for more poisons than are left alone.
    identified: float = 0.5
    # EPIc takes up to a quarter of the majorities (experiments/tables): more is out of the ordinary.
    eliminated: float = 0.3


THRESHOLDS = Thresholds()


def diagnose(summary: dict[str, Any], thresholds: Thresholds = THRESHOLDS) -> list[str]:
    """A sentence for each signature that a summary shows, row by row.

    Signature               Shown by
    amplification failure   a row that amplifies: its WGA is not above ERM's, most poisons are identified
    attack amplified        a row that amplifies: the attack succeeds more than against ERM, most poisons are
                            identified, and WGA is no lower than ERM's
    defence over-pruning    a row that eliminates keeps ERM's ACC and loses WGA, a minority is eliminated
    combined stagnation     a row that does both: WGA is not above ERM's, nor does the attack succeed less than against
                            its amplifying methods alone, which it does succeed against

    ERM is that on poisoned data; each figure is the mean over the seeds; oracle modes are passed over. Success is net:
    less the rate that a model has without the attack's doing (a constant predictor has all of its success there).
    """
    rows = summary["rows"]
    erm = rows.get("erm")
    if erm is None:
        return []
    judge = _Judge(summary, erm, thresholds)
    said: list[str] = []
    for row in rows.values():
        aims = row["aims"]
        if row is erm or row["oracle"] or row.get("wga") is None or erm.get("wga") is None:
            continue
        if aims == ["amplify"]:
            said += judge.amplifying(row)
        elif aims == ["eliminate"]:
            said += judge.eliminating(row)
        elif "amplify" in aims and "eliminate" in aims and row["alone"] in rows:
            said += judge.combined(row, rows[row["alone"]])
    return said


class _Judge:
    """The signatures of one row against ERM."""

    def __init__(self, summary: dict[str, Any], erm: dict[str, Any], thresholds: Thresholds) -> None:
        self.erm, self.thresholds = erm, thresholds
        self.success = next(iter(summary["measures"]), "")
        self.baseline = summary["baseline"]

    def net(self, row: dict[str, Any]) -> float | None:
        """Success less the rate without the attack's doing."""
        gross = row.get(self.success)
        if gross is None or not self.baseline:
            return gross
        base = row.get(self.baseline)
        return None if base is None else gross - base

    @property
    def words(self) -> str:
        """What the success figures measure."""
        return "net success" if self.baseline else "success"

    def amplifying(self, row: dict[str, Any]) -> list[str]:
        """Amplification failure; attack amplified."""
        erm, change = self.erm, self.thresholds.change
        poisons = row["idnf"].get("poison")
        if poisons is None or poisons < self.thresholds.identified:
            return []
        found = f"it draws {_cent(poisons)} of the poisons more than once per epoch"
        gain = row["wga"] - erm["wga"]
        said = []
        if gain < change:
            said.append(
                f"amplification failure: {row['label']} does not raise WGA ({_cent(row['wga'])}, ERM "
                f"{_cent(erm['wga'])}), and {found}."
            )
        now, before = self.net(row), self.net(erm)
        if now is not None and before is not None and now - before >= change and gain > -change:
            said.append(
                f"attack amplified: {row['label']} raises the attack's {self.words} from {_cent(before)} (ERM) to "
                f"{_cent(now)}; {found}."
            )
        return said

    def eliminating(self, row: dict[str, Any]) -> list[str]:
        """Defence over-pruning."""
        erm, change = self.erm, self.thresholds.change
        elmf = row["elmf"]
        minorities = [name for name in elmf if name.startswith("lrg_") and _is_set(name)]
        lost: dict[str, float] = {name: elmf[name] or 0.0 for name in minorities}
        worst = max(minorities, key=lambda name: lost[name], default="")
        acc, before = row["acc_adjusted"], erm["acc_adjusted"]
        if acc is None or before is None or lost.get(worst, 0.0) < self.thresholds.eliminated:
            return []
        if acc <= before - change or erm["wga"] - row["wga"] < change:
            return []
        return [
            f"defence over-pruning: {row['label']} keeps adj. ACC ({_cent(acc)}, ERM {_cent(before)}) "
            f"but lowers WGA from {_cent(erm['wga'])} to {_cent(row['wga'])}; it "
            f"eliminates {_cent(lost[worst])} of {set_label(worst)}."
        ]

    def combined(self, row: dict[str, Any], alone: dict[str, Any]) -> list[str]:
        """Combined stagnation."""
        erm, change = self.erm, self.thresholds.change
        now, before = self.net(row), self.net(alone)
        if now is None or before is None:
            return []
        no_fairer = row["wga"] - erm["wga"] < change
        no_safer = before - now < change <= before
        if not (no_fairer and no_safer):
            return []
        return [
            f"combined stagnation: {row['label']} improves neither WGA ({_cent(row['wga'])}, ERM "
            f"{_cent(erm['wga'])}) nor the attack's {self.words} ({_cent(now)}, {alone['label']} alone "
            f"{_cent(before)})."
        ]


def _cent(share: float) -> str:
    return f"{100 * share:.1f}%"


def _is_set(name: str) -> bool:
    return not name.endswith(("_std", "_seeds"))
