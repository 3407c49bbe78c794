//! The dense products in f32, by one micro-kernel over row panels whose zeros are left out.
//!
//! The micro-kernel keeps an MR x NR tile of C in registers and, for each entry of the row panel, loads one row of B
//! and multiplies it with MR broadcast values, while later values are prefetched.

use std::ops::Range;

use super::DenseProducts;
use crate::fused::executed;
use crate::fused::packing::{ColumnOrder, ColumnPanels, Index, LinePanels, MR, PanelsMut, RowPanel, RowPanels};
use crate::isa::Isa;
use crate::simd::{Kernel, Registers, Simd};

/// Entries of a row panel between the one that is multiplied and the one that is prefetched. With AVX-512 they take 500
/// cycles, more than a read from L3 does, and a kilobyte of L1. The hardware prefetchers begin anew at each page of 4
/// KB, which about every second panel of MNIST crosses.
const AHEAD: usize = 64;

/// f32 products on an instruction set.
#[derive(Clone, Copy, Debug)]
pub struct F32(pub Isa);

/// The rows of one strip.
#[derive(Default)]
pub struct Inputs {
    /// Rows x k, in the input's own units (bytes or activations).
    forward: RowPanels<u32>,
    /// Its transpose, once it has been asked for.
    transposed: RowPanels<u16>,
    is_transposed: bool,
    /// Whether the batch stays, so that what is packed later is trimmed as well.
    is_trimmed: bool,
}

impl DenseProducts for F32 {
    type Inputs = Inputs;
    type Weights = ColumnPanels;
    type Element = f32;
    type D = ();

    /// 256 rows x 500 units are 512 KB of Z, inside an L2 of 1 MB with a panel of the weights beside them; fewer rows
    /// would load and store each MR x NR tile of dW more often, and more share fewer units that are off. The transposed
    /// panels number them with 16 bits.
    const STRIP_ROWS: usize = 256;

    const Z_ROWS: usize = Self::STRIP_ROWS;

    const OVERLAPS: bool = false;

    const TILE_ROWS: usize = MR;

    const INPUT_ROUNDING: f64 = 0.0;

    /// Zeros are left out one by one, whatever stands beside them.
    const ORDERS_INPUTS: bool = false;

    fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            // NR is 4 registers: with MR = 4 that is 16 accumulators, 4 loads and 4 broadcasts in 32 registers, 16 FMAs
            // to 8 loads.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(simd) => Registers::<_, 4>(simd).run(kernel),
            // NR is 2 registers: with MR = 4 that is 8 accumulators, as many as two FMA pipes of latency 4 keep busy, 2
            // loads and up to 4 broadcasts in 16 registers.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(simd) => Registers::<_, 2>(simd).run(kernel),
            // NR is 1 vector of two SSE registers: with MR = 4 that is 8 accumulators, 2 loads and 2 broadcast halves
            // in 16 registers.
            Isa::Portable(simd) => simd.run(kernel),
        }
    }

    fn rounding(self, k: usize) -> f64 {
        super::f32_rounding(k)
    }

    fn pack(self, rows: &[f32], k: usize, inputs: &mut Inputs) {
        inputs.forward.pack(rows, k);
        (inputs.is_transposed, inputs.is_trimmed) = (false, false);
    }

    fn is_transposed(self, inputs: &Inputs) -> bool {
        inputs.is_transposed
    }

    /// The sparse form is slower for each product that it computes: it adds up along the inputs, so that each tile of 4
    /// x 4 products ends in 16 sums across a vector. It has to leave out enough products to make up for that. The share
    /// has been measured on AVX-512 and AVX2 (docs/experiments.md).
    fn sparse_share(self, _: &Inputs) -> f64 {
        0.3
    }

    fn unpack(self, inputs: &Inputs, rows: &mut Vec<f32>) {
        rows.resize(inputs.forward.rows() * inputs.forward.depth(), 0.0);
        inputs.forward.unpack(rows);
    }

    #[inline(always)]
    fn transpose(self, inputs: &mut Inputs, rows: &[f32], order: ColumnOrder<'_>) {
        inputs.transposed.pack_transposed(rows, order);
        if inputs.is_trimmed {
            inputs.transposed.trim();
        }
        inputs.is_transposed = true;
    }

    fn trim(self, inputs: &mut Inputs) {
        inputs.forward.trim();
        inputs.is_trimmed = true;
    }

    fn lines(self, inputs: &Inputs, positions: &[usize]) -> LinePanels {
        LinePanels::pack(&inputs.forward, positions)
    }

    fn weights(self, k: usize, u: usize) -> ColumnPanels {
        ColumnPanels::zeros(k, u, super::nr(self))
    }

    fn load(self, weights: &mut ColumnPanels, kernel: &[f32], (inputs, units): (ColumnOrder<'_>, ColumnOrder<'_>)) {
        debug_assert!(matches!(inputs, ColumnOrder::Natural(_)), "the format does not order its inputs");
        weights.pack(kernel, units);
    }

    fn panels_of_weights(self, weights: &mut ColumnPanels) -> PanelsMut<'_> {
        weights.panels_mut()
    }

    #[inline(always)]
    fn load_rows<S: Simd>(self, simd: S, weights: &mut PanelsMut<'_>, (j, first): (usize, usize), rows: &[S::Vector]) {
        for (to, &row) in weights.panel(j)[first * S::LANES..].chunks_exact_mut(S::LANES).zip(rows) {
            simd.store(to, row);
        }
    }

    /// Each panel of the weights serves all row panels while it is in L2.
    #[inline(always)]
    fn forward<S: Simd>(
        self,
        simd: S,
        inputs: &Inputs,
        block: Range<usize>,
        w: &ColumnPanels,
        panels: Range<usize>,
        z: &mut ColumnPanels,
    ) {
        debug_assert_eq!(block, 0..inputs.forward.rows(), "a block is a strip");
        executed::count(inputs.forward.entries() * MR * panels.len() * S::LANES);
        for j in panels {
            let b = w.panel(j);
            for (panel, c) in inputs.forward.iter().zip(z.panel_mut(j).chunks_exact_mut(MR * S::LANES)) {
                let tile = micro_kernel(simd, panel, b, [simd.splat(0.0); MR]);
                for (c, row) in c.chunks_exact_mut(S::LANES).zip(tile) {
                    simd.store(c, row);
                }
            }
        }
    }

    /// D is where Z was.
    #[inline(always)]
    fn keep<S: Simd>(self, _: S, _: (Range<usize>, usize), _: usize, _: &ColumnPanels, (): &mut ()) {}

    /// Each panel of D serves all row panels while it is in L2; a tile of the gradient is loaded and stored once.
    #[inline(always)]
    fn accumulate<S: Simd>(
        self,
        simd: S,
        inputs: &Inputs,
        (d, ()): (&ColumnPanels, &()),
        is_on: impl Fn(usize) -> bool,
        (gradient, adds): (&mut PanelsMut<'_>, bool),
    ) {
        let mut panels = 0;
        for j in gradient.numbers() {
            if !is_on(j) {
                if !adds {
                    gradient.panel(j).fill(0.0);
                }
                continue;
            }
            panels += 1;
            let b = d.panel(j);
            for (panel, c) in inputs.transposed.iter().zip(gradient.panel(j).chunks_exact_mut(MR * S::LANES)) {
                let mut tile = [simd.splat(0.0); MR];
                if adds {
                    if panel.indices.is_empty() {
                        continue;
                    }
                    for (row, c) in tile.iter_mut().zip(c.chunks_exact(S::LANES)) {
                        *row = simd.load(c);
                    }
                }
                let tile = micro_kernel(simd, panel, b, tile);
                for (c, row) in c.chunks_exact_mut(S::LANES).zip(tile) {
                    simd.store(c, row);
                }
            }
        }
        executed::count(inputs.transposed.entries() * MR * panels * S::LANES);
    }
}

/// `tile[i] += sum over the entries of panel: values[i] * b[index]`, with `b` one column panel, depth x NR.
#[inline(always)]
fn micro_kernel<S: Simd, I: Index>(
    simd: S,
    panel: RowPanel<'_, I>,
    b: &[f32],
    mut tile: [S::Vector; MR],
) -> [S::Vector; MR] {
    for (&index, values) in panel.indices.iter().zip(panel.values) {
        simd.prefetch_ahead(values, AHEAD * MR);
        let row = simd.load(&b[index.get() * S::LANES..]);
        for (c, &a) in tile.iter_mut().zip(values) {
            *c = simd.mul_add(simd.splat(a), row, *c);
        }
    }
    tile
}
