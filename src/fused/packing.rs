//! The three packed layouts of the fused backend: row panels, line panels and column panels.
//!
//! ```text
//! row panels     the left operand of a dense product, zeros left out (row_panels.rs)
//!                     index:  0  3  4  9 ...      one list for each panel of MR rows
//!                     row 0   x  x  .  x
//!                     ...                         MR values for each index
//! line panels    the same rows for sparse strips: lines of 16 inputs, zero lines left out (line_panels.rs)
//! column panels  the right operand and the result: NR columns side by side, row by row (column_panels.rs)
//! ```

pub mod column_panels;
pub mod line_panels;
pub mod row_panels;

pub use column_panels::{ColumnOrder, ColumnPanels, PanelsMut};
pub use line_panels::{Line, LinePanel, LinePanels};
pub use row_panels::{Index, RowPanel, RowPanels};

/// Rows of one row panel or line panel: the accumulators of the dense f32 micro-kernel are `MR` x NR.
///
/// Four rows of 4 vectors on AVX-512, or of 2 on AVX2, are at least the 8 accumulators that two FMA pipes of latency 4
/// need, and four similar rows still share most of their zeros.
pub const MR: usize = 4;
