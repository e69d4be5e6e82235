"""What a run's figures say in the paper's terms: its failure signatures, each in one plain sentence.

`diagnose` is a pure function of a summary. A signature is named only where every figure that it needs is there.

References: "Like Oil and Water" (arXiv 2504.02142), failure signatures: amplification failure, defence
over-pruning, combined stagnation. "Attack amplified" (ours) is the paper's main finding where WGA does rise.
"""

from typing import Any, NamedTuple

from oilwater_jax.reporting.summary import row_label, set_label


class Thresholds(NamedTuple):
    """What counts as a change and as many."""

    # One training's WGA or ASR differs by 2 to 4 points from seed to seed (experiments/headline): less says nothing.
    change: float = 0.05
    # Most of the poisons: draws are multiplied for more poisons than are left alone.
    identified: float = 0.5
    # EPIc takes up to a quarter of the majorities (experiments/table03_epic_tradeoff): more is out of the ordinary.
    eliminated: float = 0.3


THRESHOLDS = Thresholds()


def diagnose(summary: dict[str, Any], thresholds: Thresholds = THRESHOLDS) -> list[str]:
    """A sentence for each signature that a summary shows, in the order of the rooms.

    Signature               Shown by
    amplification failure   the method's WGA is not above ERM's, most poisons are identified
    attack amplified        the attack succeeds more against the method than against ERM, most poisons identified
    defence over-pruning    EPIc keeps ERM's ACC and loses WGA, a minority is eliminated
    combined stagnation     EPIc + method: WGA is not above ERM's, nor does the attack succeed less than against
                            the method alone, which it does succeed against

    ERM is that on poisoned data, the method's row `standard`; each figure is the mean over the seeds.
    """
    rows = summary["rows"]
    method = next((key.removesuffix("_standard") for key in rows if key.endswith("_standard")), "")
    erm, standard = rows.get("erm"), rows.get(f"{method}_standard")
    epic, combined = rows.get("epic"), rows.get(f"epic_{method}")
    success = summary["measures"][0] if summary["measures"] else ""
    poisons = summary["idnf"].get("poison")
    name = row_label(f"{method}_standard").removesuffix(" standard")
    said = []

    def known(figure: str, *needed: dict[str, Any] | None) -> bool:
        return all(row is not None and row.get(figure) is not None for row in needed)

    if poisons is not None and poisons >= thresholds.identified:
        found = f"its heuristic identifies {_cent(poisons)} of the poisons"
        if known("wga", erm, standard) and standard["wga"] - erm["wga"] < thresholds.change:
            said.append(
                f"amplification failure: {name} does not raise WGA ({_cent(standard['wga'])}, ERM "
                f"{_cent(erm['wga'])}), and {found}."
            )
        if known(success, erm, standard) and standard[success] - erm[success] >= thresholds.change:
            said.append(
                f"attack amplified: {name} raises the attack's success from {_cent(erm[success])} (ERM) to "
                f"{_cent(standard[success])}; {found}."
            )
    if known("wga", erm, epic) and known("acc_adjusted", erm, epic):
        lost = {
            key: share for key, share in epic["elmf"].items() if key.startswith("lrg_") and _is_share(key)
        }
        worst = max(lost, key=lambda key: lost[key] or 0.0, default="")
        if (
            epic["acc_adjusted"] > erm["acc_adjusted"] - thresholds.change
            and erm["wga"] - epic["wga"] >= thresholds.change
            and (lost.get(worst) or 0.0) >= thresholds.eliminated
        ):
            said.append(
                f"defence over-pruning: EPIc keeps adj. ACC ({_cent(epic['acc_adjusted'])}, ERM "
                f"{_cent(erm['acc_adjusted'])}) but lowers WGA from {_cent(erm['wga'])} to {_cent(epic['wga'])}; it "
                f"eliminates {_cent(lost[worst])} of {set_label(worst)}."
            )
    if known("wga", erm, combined) and known(success, standard, combined):
        no_fairer = combined["wga"] - erm["wga"] < thresholds.change
        no_safer = standard[success] - combined[success] < thresholds.change <= standard[success]
        if no_fairer and no_safer:
            said.append(
                f"combined stagnation: EPIc + {name} improves neither WGA ({_cent(combined['wga'])}, ERM "
                f"{_cent(erm['wga'])}) nor the attack's success ({_cent(combined[success])}, {name} alone "
                f"{_cent(standard[success])})."
            )
    return said


def _cent(share: float) -> str:
    return f"{100 * share:.1f}%"


def _is_share(name: str) -> bool:
    return not name.endswith(("_std", "_seeds"))
