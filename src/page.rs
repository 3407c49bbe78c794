//! Pages that stand in one file: no script, nothing loaded from anywhere, every string escaped by maud as it is put in.
//!
//! Charts are SVG laid out here (`svg`, `scale`). Their colours are those of the style sheet, so that they follow the
//! reader's light or dark theme. A chart is as wide as a phone, and wider screens show several side by side.

pub mod scale;
pub mod svg;

use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("page/style.css");

/// What a browser may do for a page: apply the style sheet, and show the pictures, that are within it.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'";

/// The page that `fast-train` writes at the given command: its title, what kind of page it is, and what it holds.
pub fn document(title: &str, kind: &str, main: &Markup, command: &str) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    p.kicker { (kind) }
                    h1 { (title) }
                }
                main { (main) }
                footer { p { "Written by fast-train " (command) " " (env!("CARGO_PKG_VERSION")) "." } }
            }
        }
    };
    page.into_string()
}
