//! The sections of the page: all runs together, then each by itself.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ffwd::bench::compare::letter;
use ffwd::page::svg::series;
use ffwd::text::shortened;
use ffwd::train::LayerGoodness;
use itertools::Itertools;
use maud::{Markup, html};

use super::Run;
use super::charts::{self, Axes, Curve, EPOCHS};
use super::images::Images;
use super::recorded::{Epoch, MAX_CHARACTERS, Recorded};
use crate::pictures::thresholds;
use crate::plots::Grid;

/// The shades of the confusion matrix in the style sheet, the palest of which is that of nothing.
const SHADES: usize = 9;

/// Everything between the page's header and its footer.
pub fn all(runs: &[Run]) -> Markup {
    html! {
        (cards(runs))
        @if runs.len() > 1 { (differences(runs)) }
        (together(runs))
        @for (index, run) in runs.iter().enumerate() { (alone(index, run, runs.len() > 1)) }
    }
}

/// The runs, and what came of them.
fn cards(runs: &[Run]) -> Markup {
    html! {
        section {
            ol.cards {
                @for (index, run) in runs.iter().enumerate() {
                    li class=(series(index)) {
                        span.chip { (letter(index)) }
                        div {
                            p.name { (run.recorded.name) }
                            @for words in outcome(&run.recorded) { p { (words) } }
                            p.file { (run.recorded.place()) }
                        }
                    }
                }
            }
        }
    }
}

/// What a run has come to, in words.
fn outcome(run: &Recorded) -> Vec<String> {
    let Recorded { config, epochs, told, .. } = run;
    let network = format!("preset {}, layers {}, seed {}", config.preset, config.layers.iter().join("-"), config.seed);
    let Some(told) = told else {
        let done = format!("Not finished: {} of {} epochs in {:.1} s", epochs.len(), config.epochs, run.seconds());
        return vec![done, network];
    };
    let kind = if told.dataset.synthetic { "synthetic test images" } else { "test images" };
    let result = match told.test_accuracy {
        Some(accuracy) => {
            format!("{:.2}% of {} {kind} ({} errors)", 100.0 * accuracy, told.dataset.test, told.test_errors)
        }
        None => "Not tested".to_owned(),
    };
    let stopped = if told.interrupted { ", then stopped" } else { "" };
    let memory =
        told.peak_rss_bytes.map_or(String::new(), |bytes| format!(", {} MB of memory at most", bytes / 1_000_000));
    vec![
        result,
        format!("{} epochs in {:.1} s{stopped}{memory}", epochs.len(), told.train_seconds),
        format!("{}: {} training images; {network}", told.dataset.name, told.dataset.train),
        format!("{} on {}, {} threads", told.precision, told.isa, told.threads),
    ]
}

/// The fields of the configuration in which the runs differ.
fn differences(runs: &[Run]) -> Markup {
    let tables: Vec<toml::Table> = runs.iter().map(|run| fields(&run.recorded)).collect();
    let mut names: Vec<&String> = tables.iter().flat_map(toml::Table::keys).collect();
    names.sort();
    names.dedup();
    let differs = |name: &&String| tables.iter().any(|table| table.get(*name) != tables[0].get(*name));
    let names: Vec<&String> = names.into_iter().filter(|name| *name != "out").filter(differs).collect();
    let value = |table: &toml::Table, name: &str| match table.get(name) {
        None => "–".to_owned(),
        Some(toml::Value::String(text)) => shortened(text, MAX_CHARACTERS),
        Some(value) => value.to_string(),
    };
    html! {
        section {
            h2 { "What differs" }
            @if names.is_empty() {
                p.key { "Nothing but where the runs are kept." }
            } @else {
                div.scroll tabindex="0" role="region" aria-label="What differs" {
                    table {
                        thead {
                            tr {
                                th scope="col" { "field" }
                                @for index in 0..runs.len() { th.number scope="col" { (letter(index)) } }
                            }
                        }
                        tbody {
                            @for name in names {
                                tr { td { (name) } @for table in &tables { td.number { (value(table, name)) } } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn fields(run: &Recorded) -> toml::Table {
    run.config.to_toml().parse().unwrap_or_default()
}

/// The curves of all runs on the same axes.
fn together(runs: &[Run]) -> Markup {
    let curve = |value: &dyn Fn(&Epoch) -> Option<f64>| -> Vec<Curve> {
        let of_run = |(index, run): (usize, &Run)| Curve {
            class: series(index),
            name: letter(index),
            points: run.recorded.epochs.iter().filter_map(|epoch| Some((epoch.epoch as f64, value(epoch)?))).collect(),
        };
        runs.iter().enumerate().map(of_run).collect()
    };
    let over_epochs = |title, unit| Axes { title, unit, x: EPOCHS };
    let figures = [
        charts::curves(&over_epochs("Loss", "mean of all layers and epochs so far"), &curve(&|epoch| epoch.final_loss)),
        charts::curves(
            &over_epochs("Validation error", "% of images"),
            &curve(&|epoch| epoch.validation_accuracy.map(|accuracy| 100.0 * (1.0 - accuracy))),
        ),
        charts::curves(
            &Axes { title: "Validation error", unit: "% of images", x: "seconds of training" },
            &errors_over_seconds(runs),
        ),
        charts::curves(&over_epochs("Time of an epoch", "seconds"), &curve(&|epoch| Some(epoch.seconds))),
        charts::curves(
            &over_epochs("Units on", "% of activations, mean of layers"),
            &curve(&|epoch| mean(&epoch.active).map(|share| 100.0 * share)),
        ),
    ];
    if figures.iter().all(Option::is_none) {
        return Markup::default();
    }
    html! {
        section {
            h2 { "Training" }
            p.key {
                "Where a batch stays for many steps, units that are off cost no multiply-adds: such epochs become \
                 shorter as fewer units are on."
            }
            div.rows { @for figure in figures.iter().flatten() { figure { (figure) } } }
        }
    }
}

/// The mean of the values that are numbers.
fn mean(values: &[Option<f64>]) -> Option<f64> {
    let values: Vec<f64> = values.iter().copied().flatten().collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn errors_over_seconds(runs: &[Run]) -> Vec<Curve> {
    let of_run = |(index, run): (usize, &Run)| {
        let mut seconds = 0.0;
        let points = run.recorded.epochs.iter().filter_map(|epoch| {
            seconds += epoch.seconds;
            Some((seconds, 100.0 * (1.0 - epoch.validation_accuracy?)))
        });
        Curve { class: series(index), name: letter(index), points: points.collect() }
    };
    runs.iter().enumerate().map(of_run).collect()
}

/// One run by itself.
fn alone(index: usize, run: &Run, is_one_of_several: bool) -> Markup {
    let Run { recorded, images } = run;
    html! {
        section {
            h2 class=(series(index)) {
                @if is_one_of_several { span.chip { (letter(index)) } }
                (recorded.name)
            }
            div.rows {
                @for figure in of_layers(recorded).iter().flatten() { figure { (figure) } }
            }
            (goodness(recorded, images.as_ref().ok()))
            @match images {
                Ok(images) => { (of_images(images)) }
                Err(reason) => { p.verdict { "No pictures of images: " (reason) "." } }
            }
            details {
                summary { "Configuration" }
                div.scroll tabindex="0" role="region" aria-label="Configuration" { pre { (recorded.config.to_toml()) } }
            }
        }
    }
}

/// The curves of each layer.
fn of_layers(run: &Recorded) -> [Option<Markup>; 2] {
    let curve = |value: &dyn Fn(&Epoch, usize) -> Option<f64>| -> Vec<Curve> {
        let of_layer = |layer: usize| Curve {
            class: series(layer),
            name: format!("layer {}", layer + 1),
            points: run.epochs.iter().filter_map(|epoch| Some((epoch.epoch as f64, value(epoch, layer)?))).collect(),
        };
        (0..run.config.layers.len()).map(of_layer).collect()
    };
    let axes = |title, unit| Axes { title, unit, x: EPOCHS };
    let at = |values: &[Option<f64>], layer: usize| values.get(layer).copied().flatten();
    [
        charts::curves(
            &axes("Loss of each layer", "mean of the epoch"),
            &curve(&|epoch, layer| at(&epoch.layer_loss, layer)),
        ),
        charts::curves(
            &axes("Units on in each layer", "% of activations"),
            &curve(&|epoch, layer| Some(100.0 * at(&epoch.active, layer)?)),
        ),
    ]
}

/// How far the layers tell positive from negative rows: over the epochs, and in the end.
fn goodness(run: &Recorded, images: Option<&Images>) -> Markup {
    let distributions = images.and_then(|images| images.goodness.as_ref());
    let thresholds = thresholds(&run.config);
    let over_epochs = (0..run.config.layers.len()).filter_map(|layer| {
        let looks: Vec<(usize, &LayerGoodness)> =
            run.epochs.iter().filter_map(|epoch| Some((epoch.epoch, epoch.goodness.as_ref()?.get(layer)?))).collect();
        (!looks.is_empty()).then(|| charts::goodness_over_epochs(layer + 1, &looks, thresholds[layer]))
    });
    let at_the_end = distributions.into_iter().flat_map(|distributions| {
        (1..).zip(distributions.histograms()).map(|(layer, histograms)| charts::histograms(layer, &histograms))
    });
    let figures: Vec<Markup> = over_epochs.chain(at_the_end).collect();
    html! {
        @if !figures.is_empty() {
            h3 { "Goodness" }
            p.key {
                "Over training: some training images under their label (positive) and under a wrong one (negative); \
                 the line is the median, in the darker band lies half of them, in the paler nine tenths. Of test \
                 images: as the trained network sees them."
            }
            div.rows { @for figure in &figures { figure { (figure) } } }
        }
    }
}

/// What the network makes of images.
fn of_images(images: &Images) -> Markup {
    html! {
        h3 { "Confusion" }
        p.key {
            "How often each true label (row) was predicted as each label (column), computed in " (images.precision) "."
            @if images.are_other { " These are not the images that the run was trained and tested on." }
        }
        (confusion(&images.confusion, usize::from(images.label_base)))
        (tiles(&images.mistakes))
        (tiles(&images.weights))
        @if let Some(samples) = &images.samples { (tiles(samples)) }
    }
}

fn confusion(counts: &[Vec<usize>], label_base: usize) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Confusion" {
            table.confusion {
                thead {
                    tr {
                        th scope="col" { }
                        @for label in 0..counts.len() { th scope="col" { (label + label_base) } }
                    }
                }
                tbody {
                    @for (label, row) in counts.iter().enumerate() {
                        @let total = row.iter().sum::<usize>().max(1);
                        tr {
                            th scope="row" { (label + label_base) }
                            @for (predicted, &count) in row.iter().enumerate() {
                                td class=(shade(count as f64 / total as f64, predicted == label)) { (count) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The class of a cell that holds a share of its row.
fn shade(share: f64, is_right: bool) -> String {
    // The square root keeps rare confusions visible.
    let shade = (share.sqrt() * (SHADES - 1) as f64).ceil() as usize;
    format!("{} shade{}", if is_right { "right" } else { "wrong" }, shade.min(SHADES - 1))
}

/// Images with their captions.
fn tiles(grid: &Grid) -> Markup {
    html! {
        h3 { (grid.title) }
        @if !grid.tiles.is_empty() {
            ul.tiles {
                @for tile in &grid.tiles {
                    li {
                        img alt="" src=(format!("data:image/png;base64,{}", STANDARD.encode(grid.png_of(tile))));
                        span { (tile.caption) }
                    }
                }
            }
        }
    }
}
