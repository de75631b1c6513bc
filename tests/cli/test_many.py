"""Runs of many units: the plan, failures, lines of JSON, damage, locks, other disks."""

import json
import time
import os
import re
import signal
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest
import tensorflow as tf
from PIL import Image
from support import (
    build_overflowing,
    build_toy,
    error_of,
    manifest,
    names,
    pictures,
    record_bars,
    written,
)

from tfviz import images
from tfviz._storage import as_path
from tfviz.cli import output
from tfviz.cli.console import defer_interrupt
from tfviz.runs.lock import LOCK
from tfviz.cli import progress
from tfviz.cli.run_progress import show_progress
from tfviz.runs.pace import Pace
from tfviz.optimize.job import Job

FEW = ["--preprocess=-1,1", "--transforms", "none", "--steps", "2", "--batch-size", "4"]


@pytest.fixture(scope="module")
def toy_file(tmp_path_factory):
    """The path of a model of 25 units: 8 and 12 channels, and 5 classes."""
    path = tmp_path_factory.mktemp("models") / "toy.keras"
    build_toy().save(path)
    return path


@pytest.fixture(scope="module")
def overflowing(tmp_path_factory):
    """The path of a model whose units `far:3`, `far:10` and `far:11` always fail."""
    path = tmp_path_factory.mktemp("models") / "overflowing.keras"
    build_overflowing().save(path)
    return path


@pytest.fixture
def render(run, toy_file):
    """Render units of the toy network into `out`, unless other options are given."""

    def call(*arguments, model=toy_file, code=0):
        folder = [] if "-o" in arguments else ["-o", "out"]
        return run("render", *arguments, "-m", model, *FEW, *folder, code=code)

    return call


def rows_of(result):
    """Return the lines of JSON of a command, and the summary in the last one."""
    *rows, last = map(json.loads, result.stdout.splitlines())
    return rows, last["summary"]


class TestPlan:
    def test_a_dry_run_prints_the_plan_and_writes_nothing(self, render):
        result = render("conv_*:*", "logit:*", "--dry-run")

        cells = [line.split() for line in result.stdout.splitlines()]
        counts = ["units", "batches", "finished", "failed", "left"]
        assert cells[0] == ["layer", *counts, "time"]
        assert [row[:-1] for row in cells[1:]] == [
            ["conv_a", "8", "2", "0", "0", "8"],
            ["conv_b", "12", "3", "0", "0", "12"],
            ["logit", "5", "2", "0", "0", "5"],
            ["total", "25", "7", "0", "0", "25"],
        ]
        assert all(re.fullmatch(r"\d+:\d\d", row[-1]) for row in cells[1:])
        assert "25 pictures to make, in 7 batches of 3 layers" in result.stderr
        assert re.search(r"trial of [123] layers? in \d+ s; nothing", result.stderr)
        assert names(".") == []

    def test_it_counts_what_is_finished_and_changes_nothing(self, render):
        render("conv_a:0-4")
        Path("out/.tfviz-left.part").write_bytes(b"half a picture")
        Path("out/manifest.jsonl").write_text("cut off")
        before = {name: written(Path("out", name)) for name in names("out")}
        result = render("conv_a:*", "--dry-run", "--json")

        plan = json.loads(result.stdout)
        (layer,) = plan.pop("layers")
        counts = {"units": 8, "batches": 2, "finished": 5, "failed": 0, "left": 3}
        assert counts.items() <= layer.items()
        assert counts.items() <= plan.items()
        assert layer["layer"] == "conv_a"
        assert layer["seconds"] == plan["seconds"] > 0
        assert plan["measured_layers"] == 1
        assert {name: written(Path("out", name)) for name in names("out")} == before

    def test_a_dry_run_refuses_a_folder_of_other_settings(self, render):
        render("conv_a:0")

        error = error_of(render("conv_a:0", "--dry-run", "--seed", "3", code=1))
        assert "seed is 0 there and 3" in error


class TestJson:
    def test_each_picture_is_a_line_and_the_summary_the_last(self, render):
        rows, summary = rows_of(render("conv_a:*", "logit:1", "--json"))

        assert [row["name"] for row in rows] == [
            *(f"conv_a:{i}" for i in range(8)),
            "logit:1",
        ]
        spec = images.read_spec("out/conv_a-3.png")
        seconds = rows[3].pop("seconds")
        assert rows[3] == {
            "status": "finished",
            "file": str(Path("out/conv_a-3.png")),
            "unit": "conv_a:3",
            "repeat": 0,
            "name": "conv_a:3",
            "score": spec["score"],
            "stuck": spec["stuck"],
        }
        assert seconds > 0
        layers = summary.pop("layers")
        counts = {"pictures": 9, "finished": 9, "made": 9, "failed": 0, "left": 0}
        assert (counts | {"folder": "out", "stopped": None}).items() <= summary.items()
        assert [(layer["layer"], layer["made"]) for layer in layers] == [
            ("conv_a", 8),
            ("logit", 1),
        ]
        for layer in layers:
            speed = 60 * layer["made"] / layer["seconds"]
            assert layer["units_a_minute"] == pytest.approx(speed, rel=0.02)

    def test_earlier_pictures_come_first(self, render):
        render("conv_a:2-3")
        rows, summary = rows_of(render("conv_a:0-3", "--json"))

        assert [(row["name"], row["status"]) for row in rows] == [
            ("conv_a:2", "before"),
            ("conv_a:3", "before"),
            ("conv_a:0", "finished"),
            ("conv_a:1", "finished"),
        ]
        assert rows[0]["score"] == images.read_spec(rows[0]["file"])["score"]
        assert (summary["finished"], summary["made"]) == (4, 2)


class TestTime:
    def test_the_run_ends_after_the_batch_in_which_the_time_is_over(self, render):
        render("conv_a:*", "-o", "whole")
        job = ["conv_a:*", "--max-seconds", "0.001", "--json"]
        first = render(*job, code=3)
        rows, summary = rows_of(first)

        assert len(rows) == 4
        assert (summary["left"], summary["stopped"]) == (4, "time")
        assert "The time is over: 4 of 8 pictures are in out. The same" in first.stderr
        assert names("out") == [
            *(f"conv_a-{i}.png" for i in range(4)),
            "manifest.jsonl",
        ]
        # The time is over in the last batch as well, but nothing is left then.
        render(*job)
        assert pictures("out") == pictures("whole")

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_ends_the_run_after_the_batch(self, render, monkeypatch, number):
        original = Job.render_batch

        def interrupted(self, *arguments):
            os.kill(os.getpid(), number)
            return original(self, *arguments)

        monkeypatch.setattr(Job, "render_batch", interrupted)
        result = render("conv_a:*", "--json", code=1)

        assert error_of(result) == (
            "Error: Interrupted: 4 of 8 pictures are in out. The same command goes on "
            "from here."
        )
        assert rows_of(result)[1]["stopped"] == "interrupted"
        assert names("out")[-1] == "manifest.jsonl"

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_second_signal_interrupts_at_once(self, number):
        before = signal.getsignal(number)
        with defer_interrupt("batch") as interrupted:
            os.kill(os.getpid(), number)
            assert interrupted()
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), number)

        assert signal.getsignal(number) is before


NOT_FINITE = FloatingPointError("The score was not finite.")


def fail_in(patch, places, error=NOT_FINITE):
    """Let every batch fail that has one of these pictures."""
    original = Job.render_batch

    def render_batch(self, number, wanted, callbacks=()):
        batch = self.batches[number].places
        if {batch[i] for i in wanted} & set(places):
            raise error
        return original(self, number, wanted, callbacks)

    patch.setattr(Job, "render_batch", render_batch)


class TestFailures:
    def test_they_are_recorded_and_do_not_end_the_run(self, render, overflowing):
        result = render("far:*", "--json", model=overflowing, code=1)

        rows, summary = rows_of(result)
        failed = [row for row in rows if row["status"] == "failed"]
        assert [row["unit"] for row in failed] == ["far:3", "far:10", "far:11"]
        assert "The score of far:10 was not finite" in failed[1]["failed"]
        assert (summary["finished"], summary["failed"], summary["left"]) == (13, 3, 0)
        assert error_of(result).startswith("Error: 3 of 16 pictures failed: far:3 (")
        assert "--retry-failed tries them again" in error_of(result)
        assert "16/16  far:12 to far:15" in result.stderr
        lines = [line for line in manifest("out") if "failed" in line]
        assert [(line["unit"], line["repeat"]) for line in lines] == [
            ("far:3", 0),
            ("far:10", 0),
            ("far:11", 0),
        ]
        assert lines[0]["failed"] == failed[0]["failed"]
        assert len(names("out")) == 14

    def test_they_are_left_out_until_they_are_to_be_tried_again(
        self, render, monkeypatch
    ):
        render("conv_b:*", "-o", "whole")
        with monkeypatch.context() as patch:
            fail_in(patch, {1, 6})
            render("conv_b:*", code=1)
        made = {name: written(Path("out", name)) for name in pictures("out")}
        assert len(made) == 10

        result = render("conv_b:*", "--json", code=1)
        assert (
            "2 pictures failed before and are left out; --retry-failed" in result.stderr
        )
        assert error_of(result).startswith("Error: 2 of 12 pictures failed before.")
        rows, summary = rows_of(result)
        assert (summary["failed"], summary["made"]) == (2, 0)
        (first, _) = [row for row in rows if row["status"] == "failed before"]
        assert first["unit"] == "conv_b:1"
        assert "The score was not finite" in first["failed"]
        plan = json.loads(render("conv_b:*", "--dry-run", "--json").stdout)
        assert (plan["failed"], plan["left"]) == (2, 0)

        again = render("conv_b:*", "--retry-failed")
        assert again.stdout == "12 pictures in out\n"
        assert pictures("out") == pictures("whole")
        assert {name: written(Path("out", name)) for name in made} == made
        assert not any("failed" in line for line in manifest("out"))
        render("conv_b:*")

    def test_an_interrupted_run_goes_on_through_a_layer_of_failures(self, render):
        """As the same run would have done that was not interrupted."""
        build_overflowing(range(16)).save("bad.keras")
        job = ["conv:*", "far:*", "--json"]
        render(*job, "-o", "whole", model="bad.keras", code=1)
        render("conv:*", model="bad.keras")
        result = render(*job, model="bad.keras", code=1)

        assert error_of(result).startswith("Error: 16 of 32 pictures failed: far:0 (")
        counts = {"finished": 16, "made": 0, "failed": 16, "left": 0}
        assert counts.items() <= rows_of(result)[1].items()
        assert pictures("out") == pictures("whole")
        assert [line.get("failed") for line in manifest("out")] == [
            line.get("failed") for line in manifest("whole")
        ]

    def test_equal_units_fail_one_by_one(self, render, monkeypatch):
        fail_in(monkeypatch, {0, 2})
        result = render(*["conv_a:0"] * 4, "--json", code=1)

        assert error_of(result).startswith("Error: 2 of 4 pictures failed: conv_a:0 (")
        assert rows_of(result)[1]["left"] == 0
        failed = [line["repeat"] for line in manifest("out") if "failed" in line]
        assert failed == [0, 2]
        assert list(pictures("out")) == ["conv_a-0_2.png", "conv_a-0_4.png"]

    def test_they_hold_for_their_settings_only(self, render, monkeypatch):
        with monkeypatch.context() as patch:
            fail_in(patch, {0})
            render("conv_a:0", code=1)
        assert [line["unit"] for line in manifest("out")] == ["conv_a:0"]

        render("conv_a:0", "--learning-rate", "0.01")
        assert [line["file"] for line in manifest("out")] == ["conv_a-0.png"]

    def test_what_concerns_all_batches_ends_the_run_and_is_no_failure(
        self, render, monkeypatch
    ):
        with monkeypatch.context() as patch:
            fail_in(patch, set(range(12)))
            result = render("conv_b:*", code=1)

        assert error_of(result) == (
            "Error: None of the first 3 batches could be made, so the run ends. "
            "FloatingPointError: The score was not finite."
        )
        assert names("out") == []

    def test_a_lack_of_memory_names_the_remedy(self, render, monkeypatch):
        full = tf.errors.ResourceExhaustedError(None, None, "OOM when allocating.")
        fail_in(monkeypatch, {0}, full)

        assert "Use smaller batches or smaller pictures" in error_of(
            render("conv_a:*", code=1)
        )
        assert len(pictures("out")) == 4

    @pytest.mark.parametrize("number", [28, 30])
    def test_an_error_of_the_disk_ends_the_run_at_once(
        self, render, monkeypatch, number
    ):
        """Full, or read-only since something went wrong with it."""
        with monkeypatch.context() as patch:
            original = os.fsync
            calls = []

            def fsync(handle):
                calls.append(handle)
                if len(calls) > 5:
                    raise OSError(number, os.strerror(number))
                original(handle)

            patch.setattr(os, "fsync", fsync)
            error = error_of(render("conv_b:*", code=1))

        # The files of a batch of four are written at the same time, in any order.
        *first, fifth, others = names("out")
        assert first == [f"conv_b-{i}.png" for i in range(4)]
        second = {f"conv_b-{i}.png" for i in range(4, 8)}
        assert fifth in second
        assert others == "manifest.jsonl"
        assert error in {
            f"Error: {os.strerror(number)} (out/{name}). What is finished is "
            "kept; once the problem is solved, the same command goes on from there."
            for name in second - {fifth}
        }
        # The line of the fifth, whose batch was not finished, is added by the next run.
        assert len(manifest("out")) == 4
        render("conv_b:*", "-o", "whole")
        render("conv_b:*")
        assert pictures("out") == pictures("whole")
        assert len(manifest("out")) == len(manifest("whole")) == len(pictures("out"))


class TestDamage:
    @pytest.mark.parametrize("format", ["png", "webp"])
    def test_damaged_and_missing_pictures_are_made_again(self, render, format):
        job = ["conv_a:*", "conv_a:3", "--format", format]
        render(*job)
        before = {file.name: file.read_bytes() for file in Path("out").iterdir()}
        half = before[f"conv_a-2.{format}"][:700]
        Path(f"out/conv_a-2.{format}").write_bytes(half)
        Path(f"out/conv_a-3.{format}").unlink()
        Path(f"out/conv_a-5.{format}").write_bytes(b"")
        kept = written(Path(f"out/conv_a-3_2.{format}"))
        result = render(*job)

        assert (
            f"2 pictures are damaged and are made again: conv_a-2.{format}, "
            f"conv_a-5.{format}\n"
        ) in result.stderr
        again = f"1 picture is missing and is made again: conv_a-3.{format}\n"
        assert again in result.stderr
        after = {file.name: file.read_bytes() for file in Path("out").iterdir()}
        before.pop("manifest.jsonl")
        after.pop("manifest.jsonl")
        assert after == before
        assert written(Path(f"out/conv_a-3_2.{format}")) == kept
        assert len(manifest("out")) == 9
        assert "made again" not in render(*job).stderr

    def test_pictures_that_are_deleted_during_the_run_are_named(
        self, render, monkeypatch
    ):
        render("conv_b:*", "-o", "whole")
        original = Job.render_batch

        def render_batch(self, number, *arguments):
            if number == 2:
                Path("out/conv_b-1.png").unlink()
                Path("out/conv_b-6.png").unlink()
                Path("out/conv_b-3.png").write_bytes(b"damaged")
            return original(self, number, *arguments)

        with monkeypatch.context() as patch:
            patch.setattr(Job, "render_batch", render_batch)
            result = render("conv_b:*", "--json", "--sheet", code=1)
        assert error_of(result) == (
            "Error: 2 pictures were deleted during the run: conv_b-1.png, "
            "conv_b-6.png. The same command goes on from here."
        )
        summary = rows_of(result)[1]
        assert (summary["finished"], summary["left"]) == (10, 2)

        result = render("conv_b:*")
        assert "1 picture is damaged and is made again: conv_b-3.png" in result.stderr
        missing = (
            "2 pictures are missing and are made again: conv_b-1.png, conv_b-6.png"
        )
        assert missing in result.stderr
        assert pictures("out") == pictures("whole")
        assert len(manifest("out")) == 12

    def test_a_manifest_that_is_no_text_is_made_again(self, render):
        render("conv_a:*")
        before = {line["file"]: line for line in manifest("out")}
        whole = Path("out/manifest.jsonl").read_bytes()
        Path("out/manifest.jsonl").write_bytes(whole[:500] + b"\xff\x00" + whole[600:])
        result = render("conv_a:*")

        assert "8 of 8 pictures are finished already" in result.stderr
        after = {line["file"]: line for line in manifest("out")}
        assert after.keys() == before.keys()
        # Undamaged lines keep their times.
        assert sum(after[name] == line for name, line in before.items()) >= 6

    def test_files_of_others_are_left_alone(self, render):
        Path("out").mkdir()
        Path("out/mine.png").write_bytes(b"no image")
        Image.new("RGB", (4, 4)).save("out/photo.png")
        before = {name: written(Path("out", name)) for name in names("out")}
        result = render("conv_a:0")

        assert "damaged" not in result.stderr
        assert {name: written(Path("out", name)) for name in before} == before


class TestLock:
    def test_it_is_gone_after_the_run_and_after_an_error(self, render):
        render("conv_a:0")
        assert names("out") == ["conv_a-0.png", "manifest.jsonl"]
        render("conv_a:99", code=1)
        assert names("out") == ["conv_a-0.png", "manifest.jsonl"]

    def test_one_that_a_killed_run_left_does_not_block(self, render):
        Path("out").mkdir()
        Path("out", LOCK).write_text('{"pid": 1, "host": "far", "started": "then"}')
        render("conv_a:0")

        assert names("out") == ["conv_a-0.png", "manifest.jsonl"]

    @pytest.mark.parametrize(
        ("owner", "is_free"),
        [
            ({"pid": os.getpid(), "host": socket.gethostname()}, False),
            ({"pid": 2**22 + 7, "host": socket.gethostname()}, True),
            ({"pid": 2**22 + 7, "host": "far"}, False),
            ({}, True),
        ],
    )
    def test_other_disks_have_a_file_as_the_lock(
        self, render, tmp_path, owner, is_free
    ):
        """No process has a number above 2**22 on Linux."""
        url = f"file://{tmp_path}/out"
        Path("out").mkdir()
        Path("out", LOCK).write_text(json.dumps(owner))
        result = render("conv_a:0", "-o", url, code=0 if is_free else 1)

        if not is_free:
            who = f"process {owner['pid']} on {owner['host']}, since ?"
            assert error_of(result) == (
                f"Error: '{url}' is in use by another tfviz ({who}). Wait until it is "
                "finished, or choose another folder. If that process no longer runs, "
                f"delete '{url}/{LOCK}' first."
            )
        assert names("out") == (
            ["conv_a-0.png", "manifest.jsonl"] if is_free else [LOCK]
        )


class TestOtherDisks:
    @pytest.mark.parametrize("scheme", ["file", "ram"])
    def test_a_folder_with_a_scheme_is_like_any_other(self, render, tmp_path, scheme):
        url = f"{scheme}://{tmp_path}/far"
        far = as_path(url)

        def contents():
            return {f.name: f.read_bytes() for f in far.iterdir() if f.suffix == ".png"}

        render("conv_a:*", "-o", "near", "--sheet")
        first = render("conv_a:*", "-o", url, "--max-seconds", "0.001", code=3)
        assert f"4 of 8 pictures are in {url}" in first.stderr
        (far / ".tfviz-left.part").write_bytes(b"half a picture")
        (far / "conv_a-1.png").unlink()
        (far / "conv_a-1.png").write_bytes(b"damaged")
        second = render("conv_a:*", "-o", url, "--sheet", "--json")

        assert "3 of 8 pictures are finished already" in second.stderr
        assert "1 picture is damaged and is made again: conv_a-1.png" in second.stderr
        assert rows_of(second)[0][0]["file"] == f"{url}/conv_a-0.png"
        assert contents() == pictures("near")
        left = {file.name for file in far.iterdir()} - set(pictures("near"))
        assert left == {"manifest.jsonl"}
        lines = (far / "manifest.jsonl").read_text("utf-8").splitlines()
        assert sorted(json.loads(line)["file"] for line in lines) == [
            f"conv_a-{i}.png" for i in range(8)
        ]

    def test_other_commands_refuse_such_folders(self, run):
        result = run("demo", "-o", "gs://bucket/demo", code=2)

        assert "'gs://bucket/demo' is not a folder of this machine" in error_of(result)


class TestPace:
    def plans(self, *numbers):
        return [
            SimpleNamespace(layer=f"layer{i}", numbers=tuple(n))
            for i, n in enumerate(numbers)
        ]

    def work(self, **options):
        """Ten pictures in batches of five, of which two need not be made."""
        pictures = [SimpleNamespace(name=f"unit{i}") for i in range(10)]
        batches = {3: SimpleNamespace(places=[0, 1, 2, 3, 4])}
        batches[5] = SimpleNamespace(places=[5, 6, 7, 8, 9])
        job = SimpleNamespace(
            options=SimpleNamespace(**options), pictures=pictures, batches=batches,
            wanted=lambda number, skip: [
                i for i, at in enumerate(batches[number].places) if at not in skip
            ],
        )  # fmt: skip
        return SimpleNamespace(job=job, files=[None] * 10, skip={0, 9})

    def test_a_terminal_gets_a_bar_that_ends_full(self, monkeypatch):
        shown = record_bars(monkeypatch)
        pace = Pace(self.plans([3, 5]))
        with show_progress(self.work(steps=40, restarts=2), pace) as run:
            first = "2/10 pictures"
            assert shown == [(0, 160, first, "starting unit1 to unit4", "")]
            # The first batch fails, and its halves repeat the steps.
            for step in (32, 80, 16, 80, 48):
                run.update(SimpleNamespace(step=step, steps=80, names=("x",)))
            assert [line[0] for line in shown[1:]] == [32, 80, 80, 80, 80]
            assert shown[-1][2:4] == (first, "step 48 of 80, x")
            run.finish_batch(pace.add(3, 4, 120, 0), ["x"] * 4)
            second = (80, 160, "6/10 pictures", "step 0 of 80, unit5 to unit8")
            assert shown[-1] == (*second, "2:00 left")
            run.update(SimpleNamespace(step=16, steps=80, names=("y",)))
            # A rule stops the second one early.
            run.finish_batch(pace.add(5, 4, 120, 0), ["y"] * 4)

        assert shown[-1] == (160, 160, "10/10 pictures", "", "0:00 left")

    def test_a_log_gets_a_line_while_the_first_batch_is_started(
        self, monkeypatch, capsys
    ):
        monkeypatch.setattr(progress, "LINE_SECONDS", 0.02)
        with show_progress(self.work(steps=8, restarts=1), Pace(self.plans([3, 5]))):
            time.sleep(0.2)

        lines = capsys.readouterr().err.splitlines()
        assert 2 <= len(lines) <= 10
        assert set(lines) == {"2/10 pictures  starting unit1 to unit4  0:00 so far"}

    def test_workers_on_a_cluster_make_several_batches_at_a_time(
        self, monkeypatch, capsys
    ):
        monkeypatch.setattr(progress, "LINE_SECONDS", 0.02)
        work, pace = self.work(steps=8, restarts=1), Pace(self.plans([3, 5]))
        with show_progress(work, pace, is_remote=True):
            time.sleep(0.1)

        waiting = "2/10 pictures  waiting for the first pictures  0:00 so far"
        assert set(capsys.readouterr().err.splitlines()) == {waiting}


def test_the_sheet_is_drawn_from_one_file_after_the_other(render, monkeypatch):
    alive = []
    original = output._read_small

    def counted(files, side):
        for picture in original(files, side):
            alive.append(picture.shape)
            yield picture

    monkeypatch.setattr(output, "_read_small", counted)
    render("conv_a:*", "--sheet")

    assert alive == [(32, 32, 3)] * 8
    with Image.open("out/sheet.png") as sheet:
        assert sheet.size == (3 * 40 + 8, 3 * 58 + 8)
