//! `fast-train bench` from outside: the report, its file, and how it ends.

use std::io::{BufRead, BufReader};
use std::process::{Output, Stdio};

use crate::program;
#[cfg(unix)]
use crate::resume::send;
use ffwd::bench::report::{Report, SCHEMA, median};
use ffwd::bench::workloads::{self, Size, Targets};
use ffwd::tier::Tier;
use tempfile::TempDir;

fn bench(place: &TempDir, arguments: &[&str]) -> Output {
    program(place.path()).arg("bench").args(arguments).output().unwrap()
}

#[test]
#[cfg_attr(debug_assertions, ignore = "a debug build takes minutes to measure itself")]
fn a_quick_report_is_whole_and_kept() {
    let place = TempDir::new().unwrap();
    let output = bench(&place, &["--quick", "-o", "json", "--save", "report.json", "--seed", "7", "--threads", "2"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Report = serde_json::from_slice(&output.stdout).expect("a report and nothing else on stdout");
    assert_eq!(std::fs::read(place.path().join("report.json")).unwrap(), output.stdout);
    assert_eq!((report.schema.as_str(), report.run.threads, report.run.seed, report.run.quick), (SCHEMA, 2, 7, true));
    assert_eq!((report.build.version.as_str(), report.build.profile.as_str()), (env!("CARGO_PKG_VERSION"), "release"));

    let measured = |op: &str| report.peaks.iter().filter(|peak| peak.op == op && peak.rate.is_some()).count();
    assert_eq!(measured("fma"), 2 * report.system.isa_usable.len(), "each on one and on two threads");
    let units = Targets::available().tiles.len();
    assert_eq!((measured("copy"), measured("triad"), measured("tile")), (2, 2, 2 * units));
    let mut few_on = 0;
    for row in &report.kernels {
        assert!(row.samples_ns.len() >= 4 && row.median_ns > 0.0, "{row:?}");
        assert_eq!(row.witnesses.disturbed.len(), row.samples_ns.len(), "{}", row.op);
        assert_eq!(row.median_ns, median(&row.witnesses.undisturbed(&row.samples_ns)), "{}", row.op);
        assert_eq!(
            row.gflops.map(|gflops| (gflops * row.median_ns).round()),
            (row.flops > 0).then_some(row.flops as f64)
        );
        assert!(row.percent_of_roofline.is_some(), "{row:?}");
        let leaves_out = ["fused/forward", "fused/gradient", "step/", "predict/"];
        let is_ours = row.isa != "library";
        let executes_less = is_ours && leaves_out.iter().any(|op| row.op.starts_with(op));
        assert_eq!(row.executed_flops.is_some(), executes_less, "{}", row.op);
        assert_eq!(row.executed_percent_of_peak.is_some(), executes_less, "{}", row.op);
        let executed = row.executed_flops.map(|executed| executed as f64 / row.flops as f64);
        match &*row.op {
            // Nothing is zero, and rows, inputs and units are filled up to whole tiles.
            "fused/forward activations" => assert!((1.0..1.1).contains(&executed.unwrap()), "{executed:?}, {row:?}"),
            // Both rows of a pair share a product, and most pixels are zero.
            "fused/forward images" => assert!((0.01..0.5).contains(&executed.unwrap()), "{executed:?}, {row:?}"),
            // Units that are on in a twentieth of the rows, but for rows at the bound; layer 2 fills up short lines.
            "step/images, few on, sparse form" => {
                few_on += 1;
                assert!((0.03..0.06).contains(&executed.unwrap()), "{executed:?}, {row:?}");
            }
            "step/activations, few on, sparse form" => {
                few_on += 1;
                assert!((0.07..0.14).contains(&executed.unwrap()), "{executed:?}, {row:?}");
            }
            _ => {}
        }
    }
    let targets = Targets::of(&Tier::from_environment().unwrap());
    assert_eq!(few_on, 2 * (1 + targets.tiles.len()), "in every number format");
    assert_eq!(report.kernels.len(), workloads::all(&targets, Size::Quick).len());
    let points = [1, 2].repeat(2 * (1 + targets.tiles.len()));
    assert!(report.scaling.iter().map(|row| row.threads).eq(points), "{:?}", report.scaling);
    let dtypes: Vec<&str> = report.training.iter().map(|row| row.dtype.as_str()).collect();
    assert_eq!(dtypes, if targets.tiles.is_empty() { vec!["f32"] } else { vec!["f32", "bf16"] });
    let training = &report.training[0];
    assert_eq!((training.dataset.as_str(), training.samples, training.epoch_seconds.len()), ("digits", 1_000, 3));
    assert_eq!(training.epochs_disturbed.len(), 3);
    assert_eq!((training.dataset_sha256.len(), training.weights_sha256.len()), (64, 64));
    assert!(training.final_loss > 0.0 && training.predictions_per_second > 0.0);
}

#[test]
fn a_file_that_is_there_is_not_replaced() {
    let place = TempDir::new().unwrap();
    std::fs::write(place.path().join("kept.json"), "kept").unwrap();
    for (file, code) in [("kept.json", 2), ("missing/report.json", 1)] {
        let output = bench(&place, &["--save", file]);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(text.contains(file) && !text.contains("round"), "told before anything is measured: {text}");
        assert!(output.stdout.is_empty());
    }
    assert_eq!(std::fs::read(place.path().join("kept.json")).unwrap(), b"kept");
}

#[test]
fn what_cannot_be_measured_is_an_error_of_usage() {
    let place = TempDir::new().unwrap();
    for arguments in [["-o", "pdf"], ["--threads", "5000"], ["--seed", "-1"]] {
        assert_eq!(bench(&place, &arguments).status.code(), Some(2), "{arguments:?}");
    }
    let unknown = program(place.path()).arg("bench").env("FFWD_ISA", "sse9").output().unwrap();
    assert!(unknown.status.code() == Some(2) && String::from_utf8_lossy(&unknown.stderr).contains("FFWD_ISA"));
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_the_measurement_and_writes_nothing() {
    let place = TempDir::new().unwrap();
    let mut command = program(place.path());
    let command = command.args(["bench", "--save", "report.json"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut progress = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("round 1") {
        line.clear();
        assert!(progress.read_line(&mut line).unwrap() > 0, "it ended by itself");
    }
    send(libc::SIGINT, &child);
    let drain = std::thread::spawn(move || progress.lines().for_each(drop));
    let output = child.wait_with_output().unwrap();
    drain.join().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!(output.stdout.is_empty() && !place.path().join("report.json").exists());
}
