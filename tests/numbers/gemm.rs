//! Products against a float64 naive product, at sizes around micro-panels and blocks, on every instruction set.

use crate::common;
use ffwd::gemm::{Matrix, MatrixMut, Workspace, product, sgemm};
use ffwd::isa::Isa;
use rand::RngExt;

/// How an operand lies in memory.
#[derive(Clone, Copy, Debug)]
enum Layout {
    /// Rows are contiguous.
    Rows,
    /// Columns are contiguous: the operand is stored transposed.
    Columns,
    /// Neither is.
    Spread,
}

/// An operand with gaps between its rows or columns, and with nothing behind its last element.
struct Operand {
    floats: Vec<f32>,
    rows: usize,
    columns: usize,
    strides: (usize, usize),
}

impl Operand {
    fn random(rows: usize, columns: usize, layout: Layout, rng: &mut impl rand::Rng) -> Self {
        let strides = match layout {
            Layout::Rows => (columns + 3, 1),
            Layout::Columns => (1, rows + 2),
            Layout::Spread => (2 * columns + 1, 2),
        };
        let last = rows.saturating_sub(1) * strides.0 + columns.saturating_sub(1) * strides.1;
        let length = if rows * columns == 0 { 0 } else { last + 1 };
        let floats = (0..length).map(|_| rng.random_range(-1.0..1.0)).collect();
        Self { floats, rows, columns, strides }
    }

    fn view(&self) -> Matrix<'_> {
        Matrix::strided(&self.floats, self.rows, self.columns, self.strides.0, self.strides.1)
    }

    fn at(&self, i: usize, j: usize) -> f64 {
        f64::from(self.floats[i * self.strides.0 + j * self.strides.1])
    }
}

/// What stands around C, and must stand there afterwards.
const GUARD: f32 = 12345.0;

/// Compares `alpha A B + beta C` with its float64 value, C lying inside a larger matrix.
fn check(
    isa: Isa,
    (m, k, n): (usize, usize, usize),
    (alpha, beta): (f32, f32),
    layouts: (Layout, Layout),
    workspace: &mut Workspace,
) {
    let what = format!("{isa}: {m} x {k} x {n}, alpha {alpha}, beta {beta}, {layouts:?}");
    let rng = &mut common::rng((m * 31 + k * 7 + n) as u64);
    let a = Operand::random(m, k, layouts.0, rng);
    let b = Operand::random(k, n, layouts.1, rng);
    let stride = n + 5;
    let mut c = vec![GUARD; (m + 2) * stride];
    let inside = |i: usize, j: usize| (i + 1) * stride + j + 2;
    let mut before = vec![0.0; m * n];
    for (at, before) in before.iter_mut().enumerate() {
        *before = if beta == 0.0 { f32::NAN } else { rng.random_range(-1.0..1.0) };
        c[inside(at / n, at % n)] = *before;
    }
    sgemm(isa, alpha, a.view(), b.view(), beta, MatrixMut::strided(&mut c[inside(0, 0)..], m, n, stride), workspace);
    for (at, before) in before.iter().enumerate() {
        let (i, j) = (at / n, at % n);
        let terms = (0..k).map(|p| a.at(i, p) * b.at(p, j));
        let (sum, magnitude) = terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs()));
        let old = if beta == 0.0 { 0.0 } else { f64::from(beta) * f64::from(*before) };
        let expected = f64::from(alpha) * sum + old;
        // k roundings of the sum and three of the scaling, each of at most half a unit of the terms' magnitudes.
        let bound = (k + 3) as f64 * f64::from(f32::EPSILON) / 2.0 * (f64::from(alpha.abs()) * magnitude + old.abs());
        let found = f64::from(c[inside(i, j)]);
        assert!((found - expected).abs() <= bound, "{what}: ({i}, {j}) is {found}, expected {expected} +- {bound:e}");
        c[inside(i, j)] = GUARD;
    }
    assert!(c.iter().all(|&c| c == GUARD), "{what}: something outside C was written");
}

const NN: (Layout, Layout) = (Layout::Rows, Layout::Rows);
const TN: (Layout, Layout) = (Layout::Columns, Layout::Rows);
const PLAIN: (f32, f32) = (1.0, 0.0);

#[test]
fn all_small_shapes() {
    for isa in common::isas() {
        let workspace = &mut Workspace::new();
        for shape in (0..10).flat_map(|m| (0..10).flat_map(move |k| (0..10).map(move |n| (m, k, n)))) {
            check(isa, shape, PLAIN, NN, workspace);
            check(isa, shape, (1.0, 1.0), TN, workspace);
        }
    }
}

#[test]
fn rows_and_columns_around_every_micro_panel() {
    for isa in common::isas() {
        let workspace = &mut Workspace::new();
        for m in (1..=30).chain([41, 42, 43]) {
            for n in (1..=34).chain([47, 48, 49, 63, 64, 65, 95, 96, 97, 127, 128, 129]) {
                check(isa, (m, 5, n), PLAIN, NN, workspace);
                check(isa, (m, 6, n), (-0.5, 2.0), TN, workspace);
            }
        }
    }
}

#[test]
fn every_layout_and_scale() {
    let layouts = [Layout::Rows, Layout::Columns, Layout::Spread];
    for isa in common::isas() {
        let workspace = &mut Workspace::new();
        for layouts in layouts.iter().flat_map(|&a| layouts.map(|b| (a, b))) {
            for scale in [PLAIN, (1.0, 1.0), (0.5, 0.0), (-2.0, 0.75), (0.0, 1.0)] {
                check(isa, (31, 19, 45), scale, layouts, workspace);
                check(isa, (7, 0, 5), scale, layouts, workspace);
            }
        }
    }
}

/// The last rows of A in tiles of their own, and tiles that are computed in parts.
#[test]
fn last_rows_and_parts_of_tiles() {
    for isa in common::isas() {
        let workspace = &mut Workspace::new();
        for m in [4, 5, 8, 9, 13, 14, 18, 22] {
            for k in [199, 200, 201, 299, 300, 301, 399, 401, 530] {
                for n in [31, 32, 33] {
                    check(isa, (m, k, n), (0.5, -1.0), TN, workspace);
                }
            }
        }
    }
}

/// Reductions that cross blocks of kc steps, whatever the caches, and end just before, at and behind a power of two.
#[test]
fn reductions_of_several_blocks() {
    for isa in common::isas() {
        let workspace = &mut Workspace::new();
        for k in [127, 128, 129, 511, 512, 513, 1023, 1024, 1025, 2047, 2048, 2049, 5_000, 8_191, 20_011] {
            check(isa, (15, k, 17), (1.5, 0.5), NN, workspace);
            check(isa, (15, k, 65), (1.5, 0.5), NN, workspace);
            check(isa, (9, k, 33), PLAIN, TN, workspace);
        }
    }
}

/// Reductions in an even, an odd and the largest number of splits, and without an element of C.
#[test]
fn reductions_with_split_k() {
    for isa in common::isas() {
        let workspace = &mut Workspace::new();
        for k in [8_192, 12_289, 70_001] {
            check(isa, (15, k, 17), (1.5, 0.5), NN, workspace);
            check(isa, (9, k, 33), (-0.5, 1.0), TN, workspace);
            check(isa, (0, k, 3), PLAIN, TN, workspace);
        }
    }
}

/// So many rows or columns, or both, that C is cut into tasks and A and B into blocks.
#[test]
fn shapes_of_several_tasks_and_blocks() {
    for isa in common::isas() {
        let workspace = &mut Workspace::new();
        let narrow = [(5_003, 300, 10), (5_001, 1_100, 7), (4_999, 20, 3)];
        let wide = [(5_003, 40, 35), (17, 40, 5_003), (203, 530, 301), (100, 2_500, 150), (3, 900, 3_001)];
        for shape in narrow.into_iter().chain(wide) {
            check(isa, shape, (1.5, 0.5), NN, workspace);
            check(isa, shape, PLAIN, NN, workspace);
            check(isa, shape, (1.0, -1.5), TN, workspace);
        }
    }
}

#[test]
fn the_same_bits_on_any_number_of_threads() {
    for isa in common::isas() {
        let shapes = [(784, 3_000, 100), (50, 30_000, 40), (500, 100, 70), (40, 70, 900), (2_000, 17, 19)];
        let low = [(1, 5_000, 2_100), (1, 9_000, 300), (25, 900, 700), (5_003, 300, 10), (5_003, 1_100, 4)];
        // One thread packs B of these and several do not, with one of the instruction sets.
        let near = [(300, 600, 100), (200, 300, 110), (100, 300, 120)];
        let layouts = [Layout::Columns, Layout::Rows];
        for ((m, k, n), layout) in
            shapes.into_iter().chain(low).chain(near).flat_map(|shape| layouts.map(|a| (shape, a)))
        {
            let rng = &mut common::rng(5);
            let a = Operand::random(m, k, layout, rng);
            let b = Operand::random(k, n, Layout::Rows, rng);
            let bits = |threads: usize| -> Vec<u32> {
                let mut c = vec![0.0; m * n];
                common::on_threads(threads, || product(isa, a.view(), b.view(), MatrixMut::new(&mut c, m, n)));
                c.iter().map(|c| c.to_bits()).collect()
            };
            let alone = bits(1);
            for threads in [2, 3, 4, 7] {
                assert!(bits(threads) == alone, "{isa}, {m} x {k} x {n}: {threads} threads");
            }
        }
    }
}

/// B is packed where there are many rows, and where the rows of A are not contiguous, and otherwise read where it lies.
/// All rows of A are the same, so that all rows of C are, in whichever tile they are computed.
#[test]
fn a_row_has_the_same_bits_in_every_tile_and_whether_b_is_packed_or_not() {
    const MOST: usize = 4_097;
    let shapes = [(784, 500), (513, 37), (3_000, 129), (7_000, 10), (1_025, 8), (600, 3), (1_024, 96), (1_025, 97)];
    for isa in common::isas() {
        for (k, n) in shapes.into_iter().chain([(2_048, 95), (8_191, 33), (250, 64), (1, 40)]) {
            let rng = &mut common::rng(6);
            let row: Vec<f32> = (0..k).map(|_| rng.random_range(-1.0..1.0)).collect();
            let b = Operand::random(k, n, Layout::Rows, rng);
            let rows = |m: usize, layout: Layout| -> Vec<u32> {
                let floats = match layout {
                    Layout::Columns => row.iter().flat_map(|&a| std::iter::repeat_n(a, m)).collect(),
                    _ => row.repeat(m),
                };
                let a = match layout {
                    Layout::Columns => Matrix::strided(&floats, m, k, 1, m),
                    _ => Matrix::new(&floats, m, k),
                };
                let mut c = vec![0.5; m * n];
                sgemm(isa, 1.5, a, b.view(), -0.75, MatrixMut::new(&mut c, m, n), &mut Workspace::new());
                c.iter().map(|c| c.to_bits()).collect()
            };
            let alone = rows(1, Layout::Rows);
            let check = |m: usize, layout: Layout| {
                let rows = rows(m, layout);
                for (i, row) in rows.chunks(n).enumerate() {
                    assert!(row == alone, "{isa}, {m} x {k} x {n}, {layout:?}: row {i}");
                }
            };
            for m in [1, 2, 3, 4, 5, 7, 8, 9, 13, 18, 22, 28, 29, 100] {
                check(m, Layout::Rows);
                check(m, Layout::Columns);
            }
            if k < 1_100 {
                check(MOST, Layout::Rows);
            }
        }
    }
}

/// A single row in every layout and scale, beyond blocks of kc steps and beyond splits.
#[test]
fn single_rows() {
    for isa in common::isas() {
        let workspace = &mut Workspace::new();
        for (k, n) in [(1, 1), (3, 33), (513, 31), (1_025, 500), (70_001, 7)] {
            for scale in [PLAIN, (-0.5, 2.0), (0.0, 1.0)] {
                check(isa, (1, k, n), scale, NN, workspace);
                check(isa, (1, k, n), scale, TN, workspace);
            }
        }
    }
}

#[test]
fn a_workspace_grows_once() {
    // On one thread, because which of several threads packs a block, and so whose memory grows, may change.
    for isa in common::isas() {
        let workspace = &mut Workspace::new();
        common::on_threads(1, || check(isa, (300, 200, 100), PLAIN, NN, workspace));
        let grown = workspace.capacity();
        for shape in [(300, 200, 100), (30, 200, 100), (300, 20, 100), (300, 200, 10)] {
            common::on_threads(1, || check(isa, shape, PLAIN, NN, workspace));
            assert_eq!(workspace.capacity(), grown, "{isa}: {shape:?}");
        }
    }
}

#[test]
#[should_panic(expected = "k of A is that of B")]
fn shapes_that_do_not_fit_panic() {
    let floats = [0.0; 6];
    product(Isa::best(), Matrix::new(&floats, 2, 3), Matrix::new(&floats, 2, 3), MatrixMut::new(&mut [0.0; 6], 2, 3));
}
