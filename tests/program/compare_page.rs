//! The page of `fast-train compare` in a browser.

use ffwd::bench::compare::{Comparison, ReportFile, html};
use ffwd::bench::report::Report;

use crate::browser::check_page;
use crate::reports::{many_threads, tiles};

/// A report whose every text would take over a page that lets it.
fn hostile() -> Report {
    let script = "\"'><script>document.title = 'hostile'</script>";
    let image = "<img src=x onerror=\"document.title = 'hostile'\">";
    let mut report = many_threads().report();
    report.system.cpu_model = Some(script.into());
    report.system.kernel = Some(format!("--></style></title>{script}"));
    report.build.profile = "debug".into();
    report.run.quick = true;
    report.run.date = image.into();
    for kernel in &mut report.kernels {
        kernel.op = kernel.op.replace("gemm/", &format!("gemm/{image}"));
        kernel.isa = kernel.isa.replace("portable", &format!("</text></svg>{script}"));
    }
    for row in &mut report.scaling {
        row.shape = format!("{} {}", row.shape, "&lt;b&gt;".repeat(40));
    }
    report.training[0].dataset = format!("</table>{script}{image}");
    report
}

fn page() -> String {
    let names = ["a.json", "b.json", "c<b>.json"];
    let reports = [tiles().report(), many_threads().report(), hostile()];
    let files = names.iter().zip(reports).map(|(name, report)| ReportFile { path: name.into(), report });
    html::page(&Comparison::new(&files.collect::<Vec<_>>()))
}

#[test]
fn the_page_fits_every_screen_and_runs_nothing() {
    check_page("compare-page", &page(), "Reports A, B, C compared", 8);
}
