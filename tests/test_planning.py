"""`oilwater plan`: its arithmetic by hand, its programs on this machine's CPU and, where libtpu is, on a topology."""

import re
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from oilwater_jax import cli
from oilwater_jax.attacks.lab import Costly
from oilwater_jax.planning import chips, kept, programs, report, roofline, sizes, work
from oilwater_jax.planning.chips import Chip, Target
from oilwater_jax.planning.roofline import TEMPORARIES, Cost
from oilwater_jax.planning.work import Work
from oilwater_jax.reporting.progress import Progress
from oilwater_jax.settings import config

ROOT = Path(__file__).parent.parent
GM = str(ROOT / "configs/waterdigits/gm.py")
CHIP = Chip("a chip of 1 MB", 1_000_000, flops=1e9, bandwidth=1e6)


def some_config(**changes):
    """Defaults with `attack__name=...` for attack.name and so on."""
    return config.checked(config.default(), {path.replace("__", "."): one for path, one in changes.items()})


def some_sizes(**changes):
    known = sizes.Sizes(
        train=1000,
        val=300,
        judged=500,
        auxiliary=0,
        pretraining=0,
        poisons=10,
        shape=(32, 32, 3),
        n_classes=2,
        n_groups=4,
        source="a test",
    )
    return known._replace(**changes)


@pytest.mark.parametrize(
    ("flops", "moved", "seconds", "bound", "share"),
    [
        (2e9, 1e6, 2.0, "compute", 1.0),  # 2 s of operations, 1 s of moving
        (1e9, 4e6, 4.0, "memory", 0.25),  # 1 s and 4 s
        (0.0, 5e5, 0.5, "memory", 0.0),
        (0.0, 0.0, 0.0, "compute", 0.0),
    ],
)
def test_roofline(flops, moved, seconds, bound, share):
    time = roofline.least_time(Cost(0, {}, flops, moved), CHIP)
    assert time == (pytest.approx(seconds), bound, pytest.approx(share))


def test_no_time_where_nothing_is_known_of_the_chip_or_the_program():
    assert roofline.least_time(Cost(0, {}, 1.0, 1.0), CHIP._replace(flops=None)) is None
    assert roofline.least_time(Cost(0, {}, None, None), CHIP) is None


@pytest.mark.parametrize(
    ("total", "flops", "fits"), [(1_000_000, 1.0, True), (1_000_001, 1.0, False), (10, None, False)]
)
def test_a_program_fits_if_it_was_compiled_and_has_room(total, flops, fits):
    assert roofline.fits(Cost(total, {}, flops, flops), CHIP) is fits


def test_the_cost_of_a_program_is_what_the_compiler_says():
    memory = SimpleNamespace(
        argument_size_in_bytes=100,
        output_size_in_bytes=30,
        alias_size_in_bytes=20,
        temp_size_in_bytes=7,
        generated_code_size_in_bytes=3,
    )
    compiled = SimpleNamespace(
        memory_analysis=lambda: memory, cost_analysis=lambda: {"flops": 5.0, "bytes accessed": 6.0}
    )
    cost = roofline.measure(roofline.said(compiled), {"parameters": 60, "training set": 25})
    assert cost == (
        120,  # 100 + (30 - 20) + 7 + 3
        {
            "parameters": 60,
            "training set": 25,
            "other arguments, and tiles": 15,  # 100 - 85
            "outputs": 10,
            TEMPORARIES: 7,
            "the program itself": 3,
        },
        5.0,
        6.0,
    )
    assert roofline.largest(cost._replace(total=1000)) == [
        ("parameters", 60),
        ("training set", 25),
        ("other arguments, and tiles", 15),
        ("outputs", 10),
    ]


@pytest.mark.parametrize(
    ("message", "total", "temporaries"),
    [
        (
            "RESOURCE_EXHAUSTED: E1000: CompileTimeHbmOom: Ran out of memory on HBM, the total memory required for HLO "
            "temporaries (4.00G) exceeds available HBM (15.75G).",
            2**32 + 7,
            2**32,
        ),
        (
            "RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 20.5G of 15.75G hbm.",
            int(20.5 * 2**30),
            int(20.5 * 2**30) - 7,
        ),
    ],
)
def test_a_program_that_the_compiler_refuses(message, total, temporaries):
    cost = roofline.refused(message, {"parameters": 7})
    assert cost == (total, {"parameters": 7, TEMPORARIES: temporaries}, None, None)
    assert cost is not None
    assert not roofline.fits(cost, CHIP)
    assert roofline.refused("INVALID_ARGUMENT: no such thing", {}) is None


def test_trainings_are_those_of_a_run():
    settings = {
        "erm__epochs": 3,
        "identify__epochs": 2,
        "robust__epochs": 5,
        "jtt__lambda_up": 11.0,
        "attack__name": "gm",
    }
    chosen = some_config(rows=("erm@clean", "jtt", "epic+jtt"), **settings)
    train, score = programs.TRAIN, programs.SCORE
    trainings, looks = work.everything(chosen, some_sizes())
    assert trainings == [
        ("attacker's victim", 1000, 3, train, 0, score, ""),
        ("erm@clean", 1000, 3, train, 0, score, "erm@clean"),
        ("reference", 1010, 2, train, 0, score, ""),
        ("jtt", 1010 + 1010, 5, train, 0, score, "jtt"),  # 101 flagged are drawn 10 times more
        ("epic+jtt", 1010 + 1010, 5, train, 4, score, "epic+jtt"),  # rounds at epochs 2 .. 5
    ]
    assert looks == [("jtt", (1010, 300))]  # once, for both rows
    trainings, looks = work.everything(some_config(rows=("epic/george",), **settings), some_sizes())
    assert [one[:5] for one in trainings] == [
        ("attacker's victim", 1000, 3, train, 0),
        ("epic", 1010, 3, train, 2),
        ("reference after epic", 1010, 2, train, 0),
        ("epic/george", 1010, 5, f"{train}, GEORGE", 0),
    ]
    assert [one.row for one in trainings] == ["", "", "", "epic/george"]


def test_a_training_that_another_row_reads_is_shared_whatever_the_rows_order():
    for rows in (("epic", "epic/jtt"), ("epic/jtt", "epic")):
        trainings, _ = work.everything(some_config(rows=rows), some_sizes())
        assert {one.name: one.row for one in trainings}["epic"] == ""
        assert [one.name for one in trainings].count("epic") == 1


def test_methods_own_recipes_reference_models_and_looks():
    """What each says of itself, not what the sections say: 1,000 samples, 300 to validate on, a base set of 40."""
    chosen = some_config(
        rows=("afr", "self", "abl", "strip", "fct"),
        data__base=40,
        erm__epochs=7,
        identify__epochs=2,
        robust__epochs=5,
        afr__epochs=6,
        afr__held_out=0.2,
        self__epochs=4,
        self__held_out=0.1,
        self__early=3,
        abl__epochs=9,
        strip__blends=50,
        fct__transforms=3,
    )
    trainings, looks = work.everything(chosen, some_sizes(poisons=0))
    assert {one.name: (one.draws, one.epochs) for one in trainings} == {
        "reference of afr": (800, 7),  # ERM's recipe on what is not held out
        "afr": (200, 6),
        "reference of self": (900, 7),
        "early model of self": (900, 3),
        "self": (100, 4),
        "reference of abl": (1000, 9),
        "abl": (1000, 7),
        "reference": (1000, 2),  # shared by the last two
        "strip": (1000, 7),
        "fct": (1000, 7),
    }
    assert {one.name: one.samples for one in looks} == {
        "afr": (1000, 300, 40),
        "self": (1000, 300, 40, 1000),  # and the early model on the training set
        "abl": (1000, 300, 40),
        "strip": (40 * 1040,),  # no more blends than base samples; each with all samples and the base set
        "fct": (1000, 300, 40, 3 * 1000),
    }


def test_what_a_row_trains_first_is_planned_only_where_rounds_look_at_it():
    found = [one.name for one in work.everything(some_config(rows=("jtt/epic",)), some_sizes())[0]]
    assert found == ["reference", "jtt/epic"]


def test_calls_are_counted_as_a_run_makes_them():
    chosen = some_config(
        rows=("erm", "epic"), erm__epochs=3, identify__epochs=2, attack__name="gm", epic__gradients="all"
    )
    per_call = {programs.TRAIN: 100, programs.SCORE: 256, programs.GRADIENT: 50}
    known = some_sizes(pretraining=450)
    crafting = Costly("crafting step", None, (), (), 8, "", 250, "250 steps", {}, "")
    made = work.merged(work.count(chosen, known, per_call, (crafting,)))
    assert {one.what: (one.program, one.calls) for one in made} == {
        "pretraining": (programs.TRAIN, 30 * 5),
        "train attacker's victim": (programs.TRAIN, 3 * 10),
        "train erm": (programs.TRAIN, 3 * 11),
        "train epic": (programs.TRAIN, 3 * 11),
        "validation after each epoch": (programs.SCORE, (3 + 3 + 3) * 2),
        "evaluation": (programs.SCORE, 2 * 2),
        "rounds": (programs.GRADIENT, 2 * 21),  # rounds at epochs 2 and 3
        "crafting": ("crafting step", 250),
    }


def test_hours_by_the_clock_by_hand():
    """In each of 2 seeds 2 s shared, then rows of 5, 3 and 1 s."""
    some = [
        Work("shared", "a", 2, 1, ""),
        Work("row", "a", 5, 1, "", "x"),
        Work("row", "a", 1, 3, "", "y"),
        Work("row", "a", 1, 1, "", "z"),
        Work("does not fit", "b", 9, 9, "", "z"),
    ]
    seconds = {"a": 1.0}
    assert work.wall(some, seconds, seeds=2, chips=1) == 2 * (2 + 5 + 3 + 1)
    # Two chips, a seed on each: 2 s, then 5 s on both, then 3 s on both, then 1 s on both.
    assert work.wall(some, seconds, seeds=2, chips=2) == 2 + 5 + 3 + 1
    # Enough chips: the longest chain.
    assert work.wall(some, seconds, seeds=2, chips=100) == 2 + 5


def test_sizes_of_a_data_set_that_is_not_here_are_the_published_ones(tmp_path, monkeypatch):
    monkeypatch.setenv("OILWATER_CACHE", str(tmp_path))
    birds = sizes.find(some_config(data__name="waterbirds", pretrain__epochs=0, data__auxiliary=0.1))
    assert birds[:4] == (4795 - 479, 1199, 5794, 479)
    assert (birds.shape, birds.n_classes, birds.n_groups) == ((224, 224, 3), 2, 4)
    assert birds.poisons == 43
    assert birds.source == "the published sizes"
    faces = sizes.find(some_config(data__name="celeba10", pretrain__epochs=0, evaluate="val"))
    assert faces[:3] == (16277, 19867, 19867)
    small = sizes.find(some_config(data__name="celeba", pretrain__epochs=0, smoke=True))
    assert small[:3] == (96, 96, 96)


def plan(capsys, *arguments):
    """Exit code, standard output and standard error of the command."""
    with pytest.raises(SystemExit) as caught:
        cli.main(["plan", *arguments])
    captured = capsys.readouterr()
    return caught.value.code, captured.out, captured.err


SMALL = (
    "--config.cnn.widths=8",
    "--config.pretrain.epochs=0",
    "--config.gm.restarts=1",
    "--config.train.batch=32",
)


@pytest.fixture(scope="module")
def planned():
    """The programs of a small CNN, compiled for this machine."""
    chosen = config.load(
        GM, {text.removeprefix("--config.").split("=")[0]: text.split("=")[1] for text in SMALL}
    )
    target, known = chips.find("cpu"), some_sizes()
    one_by_one = programs.plan(chosen, known, target)
    with Progress(print) as progress:  # with a listener it shows nothing
        return chosen, known, target, report.compile_all(one_by_one, target, progress)


def test_programs_on_this_machine(planned):
    _, _, target, outcomes = planned
    assert [one.planned.name for one in outcomes] == [
        "train step",
        "scoring chunk",
        "GM crafting step",
    ]
    train, score, craft = (one.cost for one in outcomes)
    # Training set: two rows of 512 images and 2 int32 each. Weights: 3 * 3 * 3 * 8 + 8, norm 2 * 8, head 8 * 2 + 2.
    assert train.tenants["training set"] == 1024 * (32 * 32 * 3 + 8)
    assert train.tenants["parameters"] == 4 * (216 + 8 + 16 + 16 + 2)
    # A convolution of stride 2: 16 * 16 outputs, each 27 products and sums, of 8 channels.
    convolution = 2 * 16 * 16 * 27 * 8
    rows = outcomes[1].planned.per_call
    assert rows * convolution <= score.flops <= rows * 2 * convolution
    assert 32 * 2 * convolution <= train.flops <= 32 * 4 * convolution  # forward and the weights' gradient
    assert all(roofline.fits(one.cost, target.chip) for one in outcomes)
    assert craft.moved > 0


def test_per_sample_gradients_are_planned_where_a_method_asks_for_them(planned):
    chosen, known, target, _ = planned
    asking = config.checked(chosen, {"rows": ("epic",), "epic.gradients": "all", "attack.name": "dlbd"})
    names = [one.name for one in programs.plan(asking, known, target)]
    assert names == ["train step", "scoring chunk", "per-sample gradients"]


def test_poisons_that_do_not_fit_are_planned_in_pieces(planned):
    """The programs of both passes, called once for each piece of each restart in every step."""
    chosen, known, target, _ = planned
    small = target._replace(chip=target.chip._replace(memory=4_000_000))
    found = programs.plan(chosen, known._replace(poisons=100), small)
    costly = [one.costly for one in found if one.costly]
    assert [one.what for one in costly] == ["GM crafting step, gradient", "GM crafting step, pixels"]
    rows = int(costly[0].note.split()[0])
    assert 1 <= rows < 100
    assert {one.calls for one in costly} == {chosen.gm.steps * chosen.gm.restarts * -(-100 // rows)}
    for one in costly:
        one.function.lower(*one.static, *one.arguments).compile()


def test_what_a_compiler_said_is_not_asked_again(planned, monkeypatch):
    chosen, known, target, outcomes = planned
    monkeypatch.setattr(report, "compile_one", lambda planned, lowered: pytest.fail("compiled again"))
    with Progress(print) as progress:
        again = report.compile_all(programs.plan(chosen, known, target), target, progress)
    assert [one.cost for one in again] == [one.cost for one in outcomes]


def test_what_is_kept_goes_by_text_topology_and_compiler(tmp_path, monkeypatch):
    monkeypatch.setenv("OILWATER_CACHE", str(tmp_path))
    names = {kept.key(text, topology) for text in ("a", "b") for topology in ("v5e:2x2", "v5e:2x4")}
    monkeypatch.setattr(kept, "_version", lambda name: "another")
    assert len(names | {kept.key("a", "v5e:2x2")}) == 5
    assert kept.read("x") is None
    kept.write("x", {"refusal": "RESOURCE_EXHAUSTED", "seconds": 1.5})
    assert kept.read("x") == {"refusal": "RESOURCE_EXHAUSTED", "seconds": 1.5}
    for damaged in ("{", "[]", '{"seconds": 1}', '{"flops": "many", "seconds": 1}'):
        (tmp_path / "plans/x.json").write_text(damaged)
        assert kept.read("x") is None


def test_the_planned_step_is_the_step_that_a_run_compiles(planned):
    """Arrays as `fit` has them must be what the step was lowered for, or a run would compile another program."""
    from oilwater_jax import objectives, rng
    from oilwater_jax.training import program
    from oilwater_jax.training.epoch import SEGMENT
    from oilwater_jax.training.feed import place
    from oilwater_jax.types import Recipe

    chosen, known, target, _ = planned
    one = programs.plan(chosen, known, target)[0]
    built = program.build(chosen, (32, 32, 3), 2)
    network = program.network(chosen, (32, 32, 3), 2)
    label = np.zeros(known.poisoned, np.int32)
    data = place(np.zeros((known.poisoned, 32, 32, 3), np.uint8), label, label)
    params = jax.jit(network.init_params, static_argnums=0)(0)
    state = built.begin((params,), Recipe(0.1, 0.0, 1), objectives.erm().init(), None)
    batches = (np.zeros((SEGMENT, 32), np.int32), np.ones((SEGMENT, 32), bool))
    arguments = (state, data, *batches, rng.key(0, "a"), np.int32(0))
    have = [(leaf.shape, str(leaf.dtype)) for leaf in jax.tree.leaves(arguments)]
    wanted = [(leaf.shape, str(leaf.dtype)) for leaf in jax.tree.leaves(one.arguments)]
    assert have == wanted


def test_what_does_not_fit_is_said_with_its_tenants(planned, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    chosen, known, _, outcomes = planned
    target = Target("made-up:2x2", "tpu", CHIP, 4, None)
    counted = [
        Work("train all", programs.TRAIN, 1800, 2, "x 1"),
        Work("crafting", "GM crafting step", 7, 1, "7"),
    ]
    gm = outcomes[2]
    fitting = outcomes[0]._replace(cost=Cost(999_999, {"a": 1}, 2e9, 5e5))
    refused = gm._replace(
        cost=Cost(3_000_000, {"poisons": 2_000_000, TEMPORARIES: 1_000_000, "x": 9}, None, None)
    )
    both = [fitting, refused]
    ways = [report.Way(4, counted, both), report.Way(1, counted, both)]
    report.print_plan(report.Console(), chosen, known, target, both, ways, 3)
    out = capsys.readouterr().out
    (line,) = (line for line in out.splitlines() if "train all" in line)
    # 3 seeds x 3600 calls x 2 s, on 4 chips and on one
    assert re.findall(r"[\d.,]+", line)[-6:] == [
        "10,800",
        "2,000.00",
        "24.000",
        "10,800",
        "2,000.00",
        "6.000",
    ]
    assert "One training over 4 chips: 24.0 chip-hours, 6.0 wall-clock hours." in out
    assert "One training per chip: 6.0 chip-hours, 2.0 wall-clock hours on 4 chips" in out
    (line,) = (line for line in out.splitlines() if line.strip().startswith("train step"))
    assert line.split()[-9:] == ["1.00", "MB", "100%", "2.0", "0.00", "2,000.00", "ms", "compute", "100%"]
    whole = out[out.index("DOES NOT FIT") :].splitlines()
    assert whole[0] == "DOES NOT FIT: GM crafting step needs 3.00 MB a chip of 1.00 MB"
    assert [line.split(maxsplit=2)[2] for line in whole[1:3]] == ["poisons", TEMPORARIES]
    assert "attack.budget" in whole[3]
    assert "all that fit" in out


def test_the_command_on_this_machine(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    command = (f"--config={GM}", "--topology=cpu", "--config.attack.name=dlbd", *SMALL)
    code, out, err = plan(capsys, *command)
    assert code == 0
    assert "this machine's CPU" in out
    assert "No times for a CPU" in out
    assert "from the data set itself" in out
    assert err.count("compiled in") + err.count("known from an earlier plan") == 2  # a line for each program
    memory = Chip("none", 1000, None, None)
    monkeypatch.setattr(chips, "find", lambda name: Target("cpu", "cpu", memory, 1, None))
    code, out, _ = plan(capsys, *command)
    assert code == 1
    assert out.count("DOES NOT FIT") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "plan needs --config"),
        ((f"--config={GM}",), "plan needs --topology"),
        ((f"--config={GM}", "--topology=v5e"), "--topology=v5e is not known; give cpu or KIND:AxB"),
        ((f"--config={GM}", "--topology=h100:8x1"), "with KIND one of v4, v5e, v5p, v6e"),
        ((f"--config={GM}", "--topology=cpu", "--seeds=0"), "--seeds=0 is out of range"),
        (
            (f"--config={GM}", "--topology=cpu", "--config.train.batch=9999"),
            "train.batch = 9999 is more than the 4795 training samples",
        ),
    ],
)
def test_bad_input_is_one_line(capsys, arguments, message):
    code, out, err = plan(capsys, *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_a_batch_must_split_evenly():
    target = Target("made-up:1x3", "tpu", CHIP, 3, None)
    with pytest.raises(
        config.UserError, match=r"64 cannot be split evenly over the 3 chips of made-up:1x3.*batch=63"
    ):
        programs.plan(some_config(), some_sizes(), target)


def test_a_missing_compiler_is_one_line(capsys, monkeypatch):
    monkeypatch.setattr(chips.importlib.util, "find_spec", lambda name: None)
    code, _, err = plan(capsys, f"--config={GM}", "--topology=v5e:2x2")
    assert code == 2
    assert "pip install 'oilwater_jax[tpu]'" in err


@pytest.mark.slow
def test_a_topology_without_its_chips(capfd, monkeypatch):
    pytest.importorskip("libtpu")
    monkeypatch.setenv("COLUMNS", "300")
    assert chips.find("v4:2x2x1").devices == 4  # two cores are one device
    code, _, err = plan(capfd, f"--config={GM}", "--topology=v5e:3x3")
    assert code == 2
    assert err.count("\n") == 1
    code, out, err = plan(capfd, f"--config={GM}", "--topology=v5e:2x2", *SMALL)
    assert code == 0
    assert "4 x TPU v5e, 16.91 GB" in out
    for count in (4, 1):
        assert re.search(rf"train step +{count} +batch 32, float32, erm_update, scan of 32 steps", out)
    assert re.search(r"^ all .* \d+\.\d+", out, re.MULTILINE)
    assert "One training per chip" in out
    own = ("compiled in", "; about ", "known from an earlier plan", "largest memory")
    assert [line for line in err.splitlines() if not any(text in line for text in own)] == []
