//! A page in a browser: headless Chromium at the widths of a phone and of a desktop, light and dark.
//!
//! Skipped with a message where no Chromium is on the path. Screenshots stay in Cargo's directory for the files of
//! tests.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const WIDTHS: [u32; 2] = [1280, 390];
/// As Chromium counts them.
const THEMES: [(&str, u32); 2] = [("dark", 0), ("light", 1)];
const PROBE: &str = include_str!("browser/probe.js");
/// A run takes seconds on a machine that is not busy; a browser that hangs must not hang the tests.
const PATIENCE: Duration = Duration::from_secs(600);
/// Chromium takes no picture of a page that is longer.
const LONGEST: u64 = 12_000;

fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    BROWSERS.iter().flat_map(|name| places.iter().map(move |place| place.join(name))).find(|file| file.is_file())
}

/// Runs the browser on `file` and returns the page's elements after its scripts ran.
fn browse(browser: &Path, file: &Path, (width, height): (u32, u32), theme: u32, more: &[String]) -> String {
    let profile = tempfile::tempdir().unwrap();
    let mut child = Command::new(browser)
        // It opens files of this test only, and root has no sandbox.
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("--window-size={width},{height}"))
        .arg(format!("--blink-settings=preferredColorScheme={theme}"))
        .args(["--virtual-time-budget=3000", "--dump-dom"])
        .args(more)
        .arg(format!("file://{}", file.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > PATIENCE {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut elements = String::new();
    child.stdout.unwrap().read_to_string(&mut elements).unwrap();
    elements
}

/// A page of a frame for each of `pages`; a headless window cannot be as narrow as a phone, a frame can. What the pages
/// tell is written down as text.
fn frames(directory: &Path, name: &str, pages: &[&str], (width, height): (u32, u32)) -> PathBuf {
    let frames: String =
        pages.iter().map(|page| format!("<iframe src='{page}' width={width} height={height}></iframe>")).collect();
    let page = format!(
        "<!DOCTYPE html><meta charset=utf-8><style>body {{ margin: 0 }} iframe {{ display: block; border: 0 }}</style>\
         <pre id=told hidden></pre><script>addEventListener('message', event => {{\
         document.getElementById('told').textContent += JSON.stringify(event.data) + '\\n' }})</script>{frames}"
    );
    let path = directory.join(name);
    std::fs::write(&path, page).unwrap();
    path
}

/// What the frames told, in any order.
fn told(elements: &str) -> Vec<Value> {
    let text = elements.split_once("<pre id=\"told\" hidden=\"\">").and_then(|(_, rest)| rest.split_once("</pre>"));
    let (text, _) = text.unwrap_or_else(|| panic!("no page: {elements}"));
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The sum of a colour's parts: `rgb(252, 252, 251)`.
fn brightness(colour: &Value) -> u32 {
    let parts = colour.as_str().unwrap().trim_start_matches("rgb(").trim_end_matches(')').split(", ");
    parts.map(|part| part.parse::<u32>().unwrap()).sum()
}

/// Checks that `page` fits every screen, runs nothing and has the expected title and charts; pictures of it stay in the
/// directory `name`.
pub fn check_page(name: &str, page: &str, title: &str, charts: u64) {
    let Some(browser) = browser() else {
        // To the standard error itself: what a test prints is kept back while it passes.
        let _ = writeln!(std::io::stderr().lock(), "skipped: none of {} is on the path", BROWSERS.join(", "));
        return;
    };
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("page.html"), page).unwrap();
    // Measured without the policy: what keeps strings from running is that they are escaped.
    let (open, close) = ("<meta http-equiv=\"Content-Security-Policy\"", "</body>");
    let measured = page
        .replace(open, "<meta name=\"policy\"")
        .replace(close, &format!("<script data-probe>{PROBE}</script></body>"));
    assert!(page.matches(open).count() == 1 && page.matches(close).count() == 1);
    std::fs::write(directory.join("measured.html"), measured).unwrap();
    // With the policy, not even a script that was let through.
    let guarded = page.replace(close, "<script>parent.postMessage('a script ran', '*')</script></body>");
    std::fs::write(directory.join("guarded.html"), guarded).unwrap();

    for width in WIDTHS {
        let mut screenshots = Vec::new();
        for (theme, number) in THEMES {
            let file = frames(&directory, "frames.html", &["measured.html", "guarded.html"], (width, 900));
            let told = told(&browse(&browser, &file, (width, 1800), number, &[]));
            let [told] = &told[..] else { panic!("{told:?}") };
            assert_eq!(told["title"], title, "a string ran");
            assert!(told["charts"].as_u64().unwrap() >= charts, "{}", told["charts"]);
            check(told, width, theme);

            let height = told["height"].as_u64().unwrap().clamp(900, LONGEST) as u32;
            let file = frames(&directory, "shown.html", &["page.html"], (width, height));
            let image = directory.join(format!("{width}-{theme}.png"));
            let _ = std::fs::remove_file(&image);
            let screenshot = format!("--screenshot={}", image.display());
            browse(&browser, &file, (width, height), number, &[screenshot]);
            screenshots.push(std::fs::read(&image).unwrap_or_else(|error| panic!("{}: {error}", image.display())));
        }
        assert!(screenshots[0] != screenshots[1], "dark as light at {width} px");
    }
}

/// Checks what the page told of itself.
fn check(told: &Value, width: u32, theme: &str) {
    assert_eq!(told["width"], width);
    assert_eq!(told["scroll"], width, "the page is wider than the screen");
    assert_eq!(told["alien"], Value::Array(vec![]), "a string became elements");
    assert_eq!(told["faults"], Value::Array(vec![]), "at {width} px");
    assert!(told["smallest"].as_f64().unwrap() >= 10.0, "letters of {} px at {width} px", told["smallest"]);
    let [background, letters] = [0, 1].map(|index| brightness(&told["colours"][index]));
    assert!(
        if theme == "dark" { background + 400 < letters } else { letters + 400 < background },
        "{}",
        told["colours"]
    );
}
