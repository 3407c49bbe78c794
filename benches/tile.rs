//! bf16 on tile units: products of tiles alone, then the stages and steps that use them (`cargo bench --bench peak` has
//! what registers alone reach).

mod common;

use criterion::{Criterion, criterion_group, criterion_main};
use ffwd::bench::workloads::{self, Size, Targets};

fn tile(criterion: &mut Criterion) {
    common::bench_group(criterion, "tile");
}

/// What `fused` measures in every number format, in bf16.
fn bf16(criterion: &mut Criterion) {
    let Targets { isas, tiles } = common::targets();
    let all = workloads::all(&Targets { isas, tiles }, Size::Full).into_iter();
    let used_by = ["fused", "step"];
    let in_bf16 = all.filter(|workload| workload.dtype == "bf16" && used_by.contains(&workload.group()));
    common::bench(criterion, "bf16", in_bf16);
}

criterion_group!(benches, tile, bf16);
criterion_main!(benches);
