//! A comparison as tables of words, which Markdown and HTML print alike.

mod reports;

use super::rows::{Cell, Row};
use super::text::number;
use super::training::TrainingRow;
use super::{Comparison, Heading};

pub use reports::reports;

/// What the letters and signs of the tables mean.
pub const KEY: &str = "A ratio is the speed by A's: above 1 is faster. ≈ means that the 95% intervals of the two \
medians overlap, so that the difference may be noise. – is a row that the report lacks, ? a pair that cannot \
be compared.";

const MISSING: &str = "–";
const NOT_COMPARABLE: &str = "?";

/// A table.
pub struct Table {
    /// Its heading.
    pub title: &'static str,
    /// The columns, left to right.
    pub columns: Vec<Column>,
    /// A text for each column.
    pub rows: Vec<Vec<String>>,
}

/// A column.
#[derive(Clone)]
pub struct Column {
    /// Its heading.
    pub head: String,
    /// Whether it holds numbers, which stand to the right.
    pub numeric: bool,
}

impl Table {
    fn new(title: &'static str, columns: Vec<Column>, rows: Vec<Vec<String>>) -> Self {
        let mut table = Self { title, columns, rows };
        table.drop_empty_column("note");
        table
    }

    /// Leaves the column `head` out where no row has anything in it.
    fn drop_empty_column(&mut self, head: &str) {
        let Some(index) = self.columns.iter().position(|column| column.head == head) else { return };
        if self.rows.iter().all(|row| row[index].is_empty()) {
            self.columns.remove(index);
            self.rows.iter_mut().for_each(|row| drop(row.remove(index)));
        }
    }
}

fn words(heads: &[&str]) -> Vec<Column> {
    heads.iter().map(|&head| Column { head: head.to_owned(), numeric: false }).collect()
}

fn numbers(heads: &[&str]) -> Vec<Column> {
    heads.iter().map(|&head| Column { head: head.to_owned(), numeric: true }).collect()
}

/// For each report its value and, after the first, its ratio; then what there is to note.
fn value_columns(reports: &[Heading]) -> Vec<Column> {
    let letters = reports.iter().map(|report| report.letter.clone());
    let heads = letters.enumerate().flat_map(|(index, letter)| {
        let ratio = (index > 0).then(|| format!("{letter}/A"));
        std::iter::once(letter).chain(ratio)
    });
    let columns = heads.map(|head| Column { head, numeric: true });
    columns.chain(words(&["note"])).collect()
}

/// The texts of [`value_columns`].
fn values(row: &Row, value: impl Fn(&Cell) -> Option<String>) -> Vec<String> {
    let texts = row.cells.iter().enumerate().flat_map(|(index, cell)| {
        let text = cell.as_ref().map_or(MISSING.into(), |cell| value(cell).unwrap_or_else(|| NOT_COMPARABLE.into()));
        let with_first = cell.as_ref().filter(|_| row.cells[0].is_some());
        let ratio = with_first.map_or(MISSING.into(), |cell| ratio(cell.ratio, cell.distinct));
        std::iter::once(text).chain((index > 0).then_some(ratio))
    });
    texts.chain(row.note.clone().or(Some(String::new()))).collect()
}

fn ratio(ratio: Option<f64>, distinct: bool) -> String {
    let sign = if distinct { "" } else { "≈" };
    ratio.map_or(NOT_COMPARABLE.into(), |ratio| format!("{sign}{}", number(ratio)))
}

fn rate(cell: &Cell) -> Option<String> {
    Some(number(cell.rate))
}

/// The instruction set and threads, which all cells of the row share.
fn shared(row: &Row) -> [String; 2] {
    let cell = row.cells.iter().flatten().next();
    let isa = cell.and_then(|cell| cell.isa.clone()).unwrap_or_else(|| MISSING.into());
    [isa, cell.map_or_else(String::new, |cell| cell.threads.to_string())]
}

/// The machines' limits.
pub fn peaks(comparison: &Comparison) -> Table {
    let columns = [words(&["op", "dtype", "isa"]), numbers(&["threads"]), words(&["unit"])].concat();
    let columns = [columns, value_columns(&comparison.reports)].concat();
    let rows = comparison.peaks.iter().map(|row| {
        let [isa, threads] = shared(row);
        let key = [row.op.clone(), row.dtype.clone(), isa, threads, row.unit.to_owned()];
        key.into_iter().chain(values(row, rate)).collect()
    });
    Table::new("Peaks", columns, rows.collect())
}

/// The fastest of each report.
pub fn best(comparison: &Comparison) -> Table {
    let columns = [words(&["op", "shape", "dtype", "unit"]), value_columns(&comparison.reports)].concat();
    let value = |cell: &Cell| Some(format!("{} {}", number(cell.rate), variant(cell)));
    let rows = comparison.best.iter().map(|row| {
        let key = [row.op.clone(), row.shape.clone(), row.dtype.clone(), row.unit.to_owned()];
        key.into_iter().chain(values(row, value)).collect()
    });
    Table::new("Best of each report", columns, rows.collect())
}

/// The instruction set and threads of a cell: `avx512 ×2`.
pub fn variant(cell: &Cell) -> String {
    format!("{} ×{}", cell.isa.as_deref().unwrap_or(MISSING), cell.threads)
}

/// The kernels.
pub fn kernels(comparison: &Comparison) -> Table {
    Table::new("Kernels", keyed_columns(comparison, "unit"), keyed_rows(&comparison.kernels, |row| row.unit, rate))
}

/// The speed-ups.
pub fn scaling(comparison: &Comparison) -> Table {
    let speedup = |cell: &Cell| cell.speedup.map(number);
    let rows = keyed_rows(&comparison.scaling, |_| "× one thread", speedup);
    Table::new("Scaling", keyed_columns(comparison, "speed-up"), rows)
}

fn keyed_columns(comparison: &Comparison, unit: &str) -> Vec<Column> {
    let key = [words(&["op", "shape", "dtype", "isa"]), numbers(&["threads"]), words(&[unit])].concat();
    [key, value_columns(&comparison.reports)].concat()
}

fn keyed_rows(rows: &[Row], unit: fn(&Row) -> &'static str, value: fn(&Cell) -> Option<String>) -> Vec<Vec<String>> {
    let row = |row: &Row| {
        let [isa, threads] = shared(row);
        let key = [row.op.clone(), row.shape.clone(), row.dtype.clone(), isa, threads, unit(row).to_owned()];
        key.into_iter().chain(values(row, value)).collect()
    };
    rows.iter().map(row).collect()
}

/// Training, a row for each report's.
pub fn training(comparison: &Comparison) -> Table {
    let columns = [
        words(&["data", "report", "layers", "backend", "dtype", "isa"]),
        numbers(&["threads", "images", "epochs", "epoch, images/s", "/A", "prediction, images/s", "/A", "loss"]),
        words(&["weights", "note"]),
    ];
    Table::new("Training", columns.concat(), comparison.training.iter().map(training_row).collect())
}

fn training_row(row: &TrainingRow) -> Vec<String> {
    let training = &row.training;
    let of_first = |value: Option<f64>| if row.report == "A" { String::new() } else { ratio(value, true) };
    vec![
        training.dataset.clone(),
        row.report.clone(),
        layers(row),
        training.backend.clone(),
        training.dtype.clone(),
        training.isa.clone(),
        training.threads.to_string(),
        training.samples.to_string(),
        training.epoch_seconds.len().to_string(),
        number(training.samples_per_second),
        of_first(row.epoch_ratio),
        number(training.predictions_per_second),
        of_first(row.prediction_ratio),
        format!("{:.4}", training.final_loss),
        training.weights_sha256.chars().take(8).collect(),
        row.note.clone().unwrap_or_default(),
    ]
}

/// Units of each layer: `500-500`.
pub fn layers(row: &TrainingRow) -> String {
    row.training.layers.iter().map(usize::to_string).collect::<Vec<_>>().join("-")
}

/// The kernels in the rooflines.
pub fn rooflines(comparison: &Comparison) -> Table {
    let columns = [words(&["report", "op", "shape", "dtype", "isa"]), numbers(&["FLOP/byte", "GFLOP/s", "% of roof"])];
    let reports = comparison.reports.iter().zip(&comparison.rooflines);
    let rows = reports.flat_map(|(report, roofline)| {
        roofline.dots.iter().map(|dot| {
            let percent = dot.percent.map_or(NOT_COMPARABLE.into(), number);
            let key = [&report.letter, &dot.op, &dot.shape, &dot.dtype, &dot.isa].map(String::clone);
            key.into_iter().chain([number(dot.intensity), number(dot.rate), percent]).collect()
        })
    });
    Table::new("Roofline", columns.concat(), rows.collect())
}
