//! `fast-train compare` from outside: what matches, what is not comparable, how it ends, and files that are no reports.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ffwd::bench::compare::{Comparison, ReportFile, html, markdown, read};
use ffwd::bench::report::{Report, Witnesses};
use serde_json::{Value, json};

use crate::reports::{many_threads, samples, tiles};

fn comparison(reports: &[Report]) -> Comparison {
    let files = reports.iter().map(|report| ReportFile { path: "report.json".into(), report: report.clone() });
    Comparison::new(&files.collect::<Vec<_>>())
}

/// [`tiles`] and its report after `change`.
fn changed(change: impl FnOnce(&mut Report)) -> Comparison {
    let first = tiles().report();
    let mut second = first.clone();
    change(&mut second);
    comparison(&[first, second])
}

fn program(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fast-train"))
        .current_dir(directory)
        .arg("compare")
        .args(arguments)
        .output()
        .unwrap()
}

/// Writes `report` to `directory`.
fn write(directory: &Path, name: &str, report: &Report) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, serde_json::to_vec_pretty(report).unwrap()).unwrap();
    path
}

/// What stands on stderr, without what a debug build says first.
fn stderr(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines = text.lines().filter(|line| !line.starts_with("warning: this is a debug build"));
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn rows_follow_the_first_report_and_then_the_others() {
    let comparison = changed(|report| {
        report.kernels.reverse();
        let mut added = report.kernels[0].clone();
        added.threads = 7;
        report.kernels.insert(0, added);
        report.kernels.retain(|kernel| kernel.op != "gemm/TN");
    });
    let first: Vec<_> = tiles().report().kernels.iter().map(|k| (k.op.clone(), Some(k.isa.clone()))).collect();
    let cell = |index: usize| comparison.kernels[index].cells.iter().flatten().next().unwrap();
    let order: Vec<_> =
        (0..first.len()).map(|index| (comparison.kernels[index].op.clone(), cell(index).isa.clone())).collect();
    assert_eq!(order, first);
    assert_eq!(comparison.kernels.len(), first.len() + 1);
    let last = comparison.kernels.last().unwrap();
    assert!(
        last.cells[0].is_none() && last.cells[1].as_ref().is_some_and(|cell| cell.threads == 7 && cell.ratio.is_none())
    );
    let missing: Vec<_> = comparison.kernels.iter().filter(|row| row.cells[1].is_none()).collect();
    assert!(missing.len() == 3 && missing.iter().all(|row| row.op == "gemm/TN"));
    assert_eq!(comparison.notes[0].text, "21 kernels in common with A, 3 only in A, 1 not in A");
}

#[test]
fn samples_count_and_derived_fields_do_not() {
    let comparison = changed(|report| {
        let kernel = &mut report.kernels[0];
        kernel.samples_ns = vec![4e6, 1e6, 2e6];
        (kernel.median_ns, kernel.gflops) = (1.0, Some(1e9));
    });
    let row = &comparison.kernels[0];
    let (first, second) = (row.cells[0].as_ref().unwrap(), row.cells[1].as_ref().unwrap());
    assert_eq!((second.low_ns, second.median_ns, second.high_ns), (1e6, 2e6, 4e6));
    assert_eq!((row.unit, second.rate), ("GFLOP/s", 2.0 * 60000.0 * 784.0 * 500.0 / 2e6));
    assert_eq!(second.ratio, Some(first.median_ns / 2e6));
    assert_eq!(comparison.kernels[7].unit, "GB/s");
}

#[test]
fn a_kernel_without_operations_and_bytes_is_a_time() {
    let comparison = changed(|report| {
        report.kernels[7].samples_ns.iter_mut().for_each(|sample| *sample *= 2.0);
        (report.kernels[7].flops, report.kernels[7].bytes) = (0, 0);
    });
    let row = &comparison.kernels[7];
    assert_eq!((row.unit, row.cells[1].as_ref().unwrap().ratio), ("ms", None));
    let note = row.note.as_ref().unwrap();
    assert!(note.starts_with("not comparable: A does 188160000 bytes, B does unknown work"), "{note}");
}

#[test]
fn the_best_of_each_report_meet_whatever_their_instruction_set() {
    let comparison = comparison(&[tiles().report(), many_threads().report()]);
    assert!(comparison.kernels.iter().all(|row| row.cells.iter().flatten().count() == 1), "no key in common");
    let row = comparison.best.iter().find(|row| row.op == "gemm/NN" && row.dtype == "f32").unwrap();
    let cells: Vec<_> = row.cells.iter().flatten().map(|cell| (cell.isa.as_deref().unwrap(), cell.threads)).collect();
    assert_eq!(cells, [("avx512", 2), ("avx512", 16)]);
    let ratio = row.cells[1].as_ref().unwrap().ratio.unwrap();
    assert!((ratio - 118.0 * 16.0 / (222.0 * 2.0)).abs() < 1e-9, "{ratio}");
    assert_eq!(
        comparison.notes[0].text,
        "shares no kernel with A: instruction set, threads, shapes or names differ throughout"
    );
}

#[test]
fn scaling_is_held_against_the_same_reports_single_thread() {
    let comparison = changed(|report| report.scaling.retain(|row| row.threads > 1));
    let row = comparison.scaling.iter().find(|row| row.cells[1].is_some()).unwrap();
    assert!((row.cells[0].as_ref().unwrap().speedup.unwrap() - 1.0 / 0.52).abs() < 1e-9);
    assert_eq!(row.cells[1].as_ref().unwrap().speedup, None);
}

#[test]
fn training_is_compared_on_the_same_task_only() {
    type Change = fn(&mut Report);
    let changes: [(Change, &str); 8] = [
        (|report| report.training[0].dataset_sha256 = "00".repeat(32), "not comparable: other data"),
        (|report| report.training[0].samples = 7, "not comparable: other number of images"),
        (|report| report.training[0].layers.push(500), "not comparable: other layers"),
        (|report| report.training[0].inner_steps = 7, "not comparable: other inner steps"),
        (|report| report.training[0].epoch_seconds = vec![1.0], "not comparable: other number of epochs"),
        (|report| report.run.seed = 2, "not comparable: other seed"),
        (|report| report.training[0].dataset = "mnist".into(), "A has no training on this data set"),
        (
            |report| report.training[0].weights_sha256 = "00".repeat(32),
            "the weights differ from A's, all else is the same",
        ),
    ];
    for (change, note) in changes {
        let row = &changed(change).training[1];
        assert_eq!(row.note.as_deref(), Some(note));
        assert_eq!(row.epoch_ratio.is_some(), note.contains("weights"), "{note}");
    }
    let row = &changed(|report| report.training[0].epoch_seconds.iter_mut().for_each(|time| *time /= 2.0)).training[1];
    assert_eq!((row.epoch_ratio, row.prediction_ratio, &row.note), (Some(2.0), Some(1.0), &None));
    let row = &comparison(&[tiles().report(), many_threads().report()]).training[1];
    assert!(row.epoch_ratio.is_some() && row.note.as_deref() == Some("held against A's bf16 amx on fused"), "{row:?}");
}

#[test]
fn whole_reports_that_are_not_comparable_say_so() {
    let notes = |change: fn(&mut Report)| changed(change).notes.into_iter().map(|note| note.report + " " + &note.text);
    assert_eq!(notes(|_| ()).count(), 0);
    let expected = "B a debug build: its rates are not comparable with those of a release";
    assert_eq!(notes(|report| report.build.profile = "debug".into()).collect::<Vec<_>>(), [expected]);
    let expected = "B a quick run, A is a full run: shapes and numbers of samples differ";
    assert_eq!(notes(|report| report.run.quick = true).collect::<Vec<_>>(), [expected]);
    assert!(notes(|report| report.run.seed = 9).next().unwrap().starts_with("B seed 9, A has 1"));
}

#[test]
fn labels_tell_reports_apart() {
    let (one, other) = (tiles().report(), many_threads().report());
    let labels =
        |reports: &[Report]| comparison(reports).reports.into_iter().map(|report| report.label).collect::<Vec<_>>();
    assert_eq!(labels(&[one.clone(), other]), ["Intel Xeon Platinum 8481C amx", "AMD EPYC 9654 96-Core avx512"]);
    assert_eq!(labels(&[one.clone(), one])[1], "Intel Xeon Platinum 8481C amx (report.json)");
}

#[test]
fn fail_over_looks_at_whole_intervals() {
    let place = tempfile::tempdir().unwrap();
    let first = tiles().report();
    let mut second = first.clone();
    // The two intervals reach from 0.9975 to 1.002 of their middle.
    let middle = first.kernels[0].median_ns / 1.0;
    second.kernels[0].samples_ns = samples(middle * 1.06);
    second.kernels[1].samples_ns = samples(first.kernels[1].median_ns * 0.5);
    write(place.path(), "a.json", &first);
    write(place.path(), "b.json", &second);

    let output = program(place.path(), &["a.json", "b.json", "--fail-over", "5"]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let text = stderr(&output);
    assert!(text.starts_with("slower: gemm/NN, 60000 x 784 x 500, bf16, amx, 2 threads: B is more than 5."), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("# Reports A, B compared"));

    for arguments in [
        &["a.json", "b.json", "--fail-over", "7"][..],
        &["b.json", "b.json", "--fail-over", "0"],
        &["a.json", "b.json"],
    ] {
        let output = program(place.path(), arguments);
        assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()), "{arguments:?}");
    }
    // The other way round, kernel 1 is twice as slow.
    let output = program(place.path(), &["b.json", "a.json", "--fail-over", "5"]);
    assert!(output.status.code() == Some(3) && stderr(&output).contains("gemm/TN"), "{}", stderr(&output));
    // One wide sample below the limit, and nothing is certain any more.
    second.kernels[0].samples_ns = vec![middle * 1.01, middle * 2.0, middle * 3.0];
    write(place.path(), "b.json", &second);
    assert_eq!(program(place.path(), &["a.json", "b.json", "--fail-over", "5"]).status.code(), Some(0));

    write(place.path(), "c.json", &many_threads().report());
    let output = program(place.path(), &["a.json", "c.json", "--fail-over", "5"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(stderr(&output), "note: B shares no kernel with A, so that none was judged\n");
}

#[test]
fn usage_errors_end_with_2_and_other_errors_with_1() {
    let place = tempfile::tempdir().unwrap();
    write(place.path(), "a.json", &tiles().report());
    for percent in ["-1", "NaN", "inf", "1e999", "five", ""] {
        let output = program(place.path(), &["a.json", "a.json", "--fail-over", percent]);
        assert_eq!(output.status.code(), Some(2), "{percent}");
        assert!(stderr(&output).contains("expected a finite number of percent"), "{}", stderr(&output));
    }
    for arguments in [&["a.json"][..], &[], &["a.json", "a.json", "-o", "pdf"]] {
        assert_eq!(program(place.path(), arguments).status.code(), Some(2), "{arguments:?}");
    }
    let output = program(place.path(), &["a.json", "missing.json"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).starts_with("error: missing.json: cannot open the report"), "{}", stderr(&output));
}

#[test]
fn every_output_holds_the_comparison() {
    let place = tempfile::tempdir().unwrap();
    write(place.path(), "a.json", &tiles().report());
    write(place.path(), "b.json", &many_threads().report());
    let printed =
        |format| String::from_utf8(program(place.path(), &["a.json", "b.json", "-o", format]).stdout).unwrap();
    let value: Value = serde_json::from_str(&printed("json")).unwrap();
    assert_eq!((&value["schema"], &value["reports"][1]["letter"]), (&json!("ffwd/comparison/v1"), &json!("B")));
    assert_eq!(value["kernels"].as_array().unwrap().len(), 5 * 8);
    let page = printed("html");
    assert!(page.starts_with("<!DOCTYPE html>") && page.trim_end().ends_with("</html>"));
    for text in ["times as fast as A in training", "Rates", "Roofline", "Scaling", "Training", "default-src 'none'"] {
        assert!(page.contains(text), "{text}");
    }
    assert_eq!(value["verdicts"][0]["report"], "B");
    let markdown = printed("md");
    let blocks: Vec<&str> = markdown.split("\n\n").collect();
    assert!(blocks[1].contains("times as fast as A") && blocks[1].contains("What differs: "), "{}", blocks[1]);
    assert_eq!(blocks[3], "## Best of each report", "the first table");
    for heading in ["Reports", "Peaks", "Best of each report", "Kernels", "Scaling", "Training"] {
        assert!(markdown.contains(&format!("\n## {heading}\n\n| ")), "{heading}");
    }
    // A table is rectangular, and so aligned that its lines are of one length.
    let tables = markdown.split("\n\n").filter(|block| block.starts_with("| "));
    for lines in tables.map(|table| table.lines().collect::<Vec<_>>()) {
        let shape = |line: &str| (line.chars().count(), line.matches(" | ").count());
        assert!(lines.len() > 2 && lines.iter().all(|line| shape(line) == shape(lines[0])), "{lines:#?}");
    }
}

/// The message of reading `text`.
fn message(text: &[u8]) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let Err(error) = read::read(file.path()) else { panic!("a report") };
    let message = error.to_string();
    let (path, rest) = message.split_once(": ").unwrap();
    assert_eq!(path, file.path().to_str().unwrap());
    assert!(rest.contains(": found ") && rest.contains(", expected ") && rest.len() < 400, "{message}");
    assert!(!rest.contains(|character: char| character.is_control()), "{message:?}");
    rest.to_owned()
}

#[test]
fn values_that_cannot_be_are_named_with_their_field() {
    for (pointer, value, expected) in [
        ("/schema", json!("ffwd/report/v2"), "schema: found \"ffwd/report/v2\", expected \"ffwd/report/v1\""),
        ("/kernels/3/samples_ns/2", json!(-1.0), "kernels[3].samples_ns[2]: found -1.0, expected a number from 0"),
        (
            "/kernels/3/samples_ns/2",
            json!(0.0),
            "kernels[3].samples_ns[2]: found 0, expected a time from 1e-3 to 1e18 ns",
        ),
        ("/kernels/3/samples_ns/2", json!(1e300), "kernels[3].samples_ns[2]: found 1e+300, expected a number from 0"),
        ("/kernels/3/samples_ns/2", json!(1e25), "kernels[3].samples_ns[2]: found 1"),
        ("/kernels/3/samples_ns/2", json!(null), "kernels[3].samples_ns[2]: found null, expected a number"),
        ("/kernels/3/samples_ns/2", json!("NaN"), "kernels[3].samples_ns[2]: found string \"NaN\", expected a number"),
        (
            "/kernels/3/samples_ns",
            json!([]),
            "kernels[3].samples_ns: found an empty list, expected at least one sample",
        ),
        ("/kernels/3/flops", json!(-5), "kernels[3].flops: found integer `-5`, expected a whole number, not negative"),
        ("/kernels/3/flops", json!(1.5), "kernels[3].flops: found floating point `1.5`, expected a whole number"),
        ("/kernels/3/threads", json!(0), "kernels[3].threads: found 0, expected at least one thread"),
        ("/kernels/3", json!(7), "kernels[3]: found integer `7`, expected an object"),
        ("/kernels", json!({}), "kernels: found map, expected a list"),
        ("/kernels/3/op", json!("a\u{1b}[31m"), "kernels[3].op: found \"a\\u{1b}[31m\", expected text without control"),
        (
            "/system/cpu_model",
            json!("a\u{202e}b"),
            "system.cpu_model: found \"a\\u{202e}b\", expected text without control",
        ),
        ("/system/cpu_model", json!("x".repeat(501)), "system.cpu_model: found 501 characters, expected at most 500"),
        ("/build/profile", json!("fast"), "build.profile: found \"fast\", expected \"release\" or \"debug\""),
        ("/run/load_before", json!([1.0]), "run.load_before: found invalid length 1, expected three numbers"),
        ("/run/quick", json!("\u{7}".repeat(5000)), "run.quick: found string"),
        ("/run/threads", json!(0), "run.threads: found 0, expected at least one thread"),
        ("/peaks/0/unit", json!("TB/s"), "peaks[0].unit: found \"TB/s\", expected \"GFLOP/s\" or \"GB/s\""),
        ("/peaks/0/samples_ns", json!([]), "peaks[0].samples_ns: found an empty list"),
        ("/scaling/1/samples_ns/0", json!(1e19), "scaling[1].samples_ns[0]: found 1"),
        ("/training/0/epoch_seconds", json!([]), "training[0].epoch_seconds: found an empty list"),
        ("/training/0/final_loss", json!(null), "training[0].final_loss: found null, expected a number"),
        ("/training/0/predictions_per_second", json!(1e31), "training[0].predictions_per_second: found 1e+31"),
    ] {
        let mut report = serde_json::to_value(tiles().report()).unwrap();
        *report.pointer_mut(pointer).unwrap() = value;
        let message = message(&serde_json::to_vec(&report).unwrap());
        assert!(message.starts_with(expected), "{message}");
    }
}

#[test]
fn rows_may_neither_repeat_nor_lack_a_field_nor_be_too_many() {
    let report = tiles().report();
    let mut repeated = report.clone();
    repeated.kernels.push(report.kernels[2].clone());
    let json = serde_json::to_vec(&repeated).unwrap();
    assert_eq!(message(&json), "kernels[24]: found a row that an earlier one repeats, expected each row once");

    let mut lacking = serde_json::to_value(&report).unwrap();
    lacking["kernels"][1].as_object_mut().unwrap().remove("shape");
    assert_eq!(message(lacking.to_string().as_bytes()), "kernels[1].shape: found nothing, expected this field");

    let mut many = report.clone();
    many.scaling =
        (1..=10_001).map(|threads| ffwd::bench::report::Scaling { threads, ..report.scaling[0].clone() }).collect();
    let json = serde_json::to_vec(&many).unwrap();
    assert_eq!(message(&json), "scaling: found 10001 rows, expected at most 10000");

    let text = serde_json::to_string(&report).unwrap();
    assert!(message(text.replace("\"flops\":", "\"flops\":1e999,\"x\":").as_bytes()).contains("number out of range"));
    assert!(
        message(text.replacen("\"seed\":", "\"seed\":2,\"seed\":", 1).as_bytes()).contains("duplicate field `seed`")
    );
    let nested = "[".repeat(100_000) + &"]".repeat(100_000);
    let nested = text.replacen("\"threads\":", &format!("\"threads\":{nested},\"x\":"), 1);
    assert!(message(nested.as_bytes()).starts_with("run.threads: found sequence, expected a whole number"));
}

#[test]
fn a_file_of_any_size_is_an_error_soon() {
    let file = tempfile::NamedTempFile::new().unwrap();
    // Sparse: it takes no room.
    file.as_file().set_len(1 << 40).unwrap();
    let message = read::read(file.path()).unwrap_err().to_string();
    assert!(message.ends_with("content: found more than 16 MiB, expected a report of at most 16 MiB"), "{message}");
    assert!(read::read(Path::new("/")).is_err(), "a directory");
}

#[test]
fn a_report_cut_off_anywhere_is_an_error_and_never_a_panic() {
    let whole = serde_json::to_vec_pretty(&tiles().report()).unwrap();
    for length in (0..whole.len()).step_by(50) {
        let message = message(&whole[..length]);
        // In the middle of a number, the number is at fault.
        let at_fault = message.contains("the end of the file") || message.contains("(invalid number)");
        assert!(at_fault, "{length} bytes: {message}");
    }
    // Nor does a byte that is not as it was.
    let file = tempfile::NamedTempFile::new().unwrap();
    for place in (0..whole.len()).step_by(50) {
        for byte in *b"\"0-\xff" {
            let mut broken = whole.clone();
            broken[place] = byte;
            std::fs::write(file.path(), broken).unwrap();
            let _ = read::read(file.path());
        }
    }
}

#[test]
fn extreme_numbers_within_the_limits_neither_panic_nor_leave_a_chart() {
    let mut report = tiles().report();
    for (index, kernel) in report.kernels.iter_mut().enumerate() {
        kernel.flops = [1, u64::MAX, 0][index % 3];
        kernel.bytes = [u64::MAX, 1, 0][index % 3];
        kernel.samples_ns = vec![if index % 2 == 0 { 1e-3 } else { 1e18 }];
    }
    report.peaks.iter_mut().for_each(|peak| peak.work = 0);
    report.scaling.iter_mut().for_each(|row| row.samples_ns = vec![if row.threads == 1 { 1e18 } else { 1e-3 }]);
    report.training[0].predictions_per_second = 0.0;
    report.training[0].samples = 0;
    let place = tempfile::tempdir().unwrap();
    let file = read::read(&write(place.path(), "a.json", &report)).unwrap();
    let files = [file.clone(), ReportFile { path: "b.json".into(), report: many_threads().report() }, file];
    let comparison = Comparison::new(&files);
    let page = html::page(&comparison);
    assert!(
        !page.contains("NaN") && !page.contains("inf\"") && !page.contains("inf,"),
        "a coordinate that is no number"
    );
    assert!(!markdown::page(&comparison).contains("NaN"));
}

/// The samples of `report` beside a neighbour that takes a CPU in some of them, two of three from `phase` on: they take
/// between 1.3 and 2.3 times as long. Where it is `seen`, the witnesses tell of it.
fn beside_a_neighbour(mut report: Report, phase: usize, seen: bool) -> Report {
    let disturb = |samples: &mut Vec<f64>, witnesses: &mut Witnesses| {
        let is_disturbed = |index: usize| (index + phase) % 3 < 2;
        for (index, ns) in samples.iter_mut().enumerate().filter(|&(index, _)| is_disturbed(index)) {
            *ns *= 1.3 + 0.1 * ((index + 3 * phase) % 11) as f64;
        }
        let all = || 0..samples.len();
        if seen {
            *witnesses = Witnesses {
                arithmetic: all().map(|index| if is_disturbed(index) { 0.5 } else { 0.98 }).collect(),
                memory: all().map(|_| 1.0).collect(),
                waiting: all().map(|index| if is_disturbed(index) { 0.4 } else { 0.001 }).collect(),
                disturbed: all().map(is_disturbed).collect(),
            };
        }
    };
    report.peaks.iter_mut().for_each(|row| disturb(&mut row.samples_ns, &mut row.witnesses));
    report.kernels.iter_mut().for_each(|row| disturb(&mut row.samples_ns, &mut row.witnesses));
    report.scaling.iter_mut().for_each(|row| disturb(&mut row.samples_ns, &mut row.witnesses));
    report
}

#[test]
fn a_neighbour_that_was_seen_changes_neither_medians_nor_the_verdict() {
    let quiet = tiles().report();
    let [first, second] = [0, 1].map(|phase| beside_a_neighbour(quiet.clone(), phase, true));
    let comparison = comparison(&[quiet, first, second]);
    let rows = [&comparison.peaks, &comparison.best, &comparison.kernels, &comparison.scaling];
    for row in rows.into_iter().flatten() {
        for cell in row.cells.iter().flatten() {
            let ratio = cell.ratio.unwrap();
            assert!((0.99..1.01).contains(&ratio), "{} {}: {ratio}", row.op, row.shape);
        }
    }
    assert_eq!(comparison.kernels[0].cells[1].as_ref().unwrap().samples, 6, "of 20 samples 14 are disturbed");
    for verdict in &comparison.verdicts {
        assert!(verdict.speeds.iter().all(|speed| (0.99..1.01).contains(&speed.ratio)), "{verdict:?}");
        let percent = if verdict.report == "B" { "70.0" } else { "65.0" };
        let told = format!(" Disturbed: {percent}% of the samples of {}.", verdict.report);
        assert!(verdict.words().ends_with(&told), "{}", verdict.words());
    }
}

#[test]
fn a_neighbour_that_nobody_saw_spoils_them() {
    let quiet = tiles().report();
    let unseen = beside_a_neighbour(quiet.clone(), 0, false);
    let comparison = comparison(&[quiet, unseen]);
    let ratios = comparison.kernels.iter().map(|row| row.cells[1].as_ref().unwrap().ratio.unwrap());
    assert!(ratios.into_iter().all(|ratio| ratio < 0.8), "the medians are of disturbed samples");
    assert!(!comparison.verdicts[0].words().contains("Disturbed"));
}

#[test]
fn witnesses_that_do_not_fit_their_samples_are_an_error() {
    let directory = tempfile::TempDir::new().unwrap();
    let message = |change: &dyn Fn(&mut Report)| {
        let mut report = beside_a_neighbour(tiles().report(), 0, true);
        change(&mut report);
        read::read(&write(directory.path(), "report.json", &report)).unwrap_err().to_string()
    };
    let short = message(&|report| report.kernels[2].witnesses.disturbed.truncate(3));
    assert!(short.contains("kernels[2].witnesses.disturbed: found 3 entries, expected 20, one for each"), "{short}");
    let missing = message(&|report| report.peaks[0].witnesses.memory.clear());
    assert!(missing.contains("peaks[0].witnesses.memory: found 0 entries, expected 20"), "{missing}");
    let beyond = message(&|report| report.scaling[0].witnesses.waiting[1] = 1.5);
    assert!(beyond.contains("scaling[0].witnesses.waiting: found 1.5, expected shares from 0 to 1"), "{beyond}");
    let epochs = message(&|report| report.training[0].epochs_disturbed = vec![true, false]);
    assert!(epochs.contains("training[0].epochs_disturbed: found 2 entries, expected 3"), "{epochs}");
}
