//! bf16 on tile units: products of tiles alone, then the stages and steps that use them (`cargo bench --bench peak` has
//! what registers alone reach).

mod common;

use criterion::{Criterion, criterion_group, criterion_main};
use ffwd::bench::workloads::{self, Size};

fn tile(criterion: &mut Criterion) {
    common::bench_group(criterion, "tile");
}

/// What `fused` measures in every number format, in bf16.
fn bf16(criterion: &mut Criterion) {
    let targets = common::targets();
    if targets.tiles.is_empty() {
        println!("no tile unit is usable here, or FFWD_ISA asks for vectors: nothing in bf16 is measured");
    }
    let all = workloads::all(&targets, Size::Full).into_iter();
    let in_bf16 = all.filter(|workload| workload.dtype == "bf16" && ["fused", "step"].contains(&workload.group()));
    common::bench(criterion, "bf16", in_bf16);
}

criterion_group!(benches, tile, bf16);
criterion_main!(benches);
