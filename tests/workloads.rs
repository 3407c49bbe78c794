//! What `cargo bench` and `fast-train bench` measure: names, and kernels that run.
//!
//! The workloads take in every kernel of the library. These tests use it as it is built already; tests within it would
//! compile all kernels again.

use std::collections::HashSet;

use ffwd::bench::workloads::{GROUPS, Size, Targets, Workload, all, batches, trained};
use ffwd::internals::{Decoded, TileTier};
use ffwd::isa::Isa;

#[test]
fn every_workload_has_a_name_of_its_own_in_a_known_group() {
    for size in [Size::Full, Size::Quick] {
        let mut targets = Targets::available();
        targets.tiles.push(TileTier::Decoded(Decoded(Isa::best())));
        let list = all(&targets, size).into_iter().chain(trained(&targets)).chain(batches(&targets.isas));
        let list: Vec<Workload> = list.collect();
        let mut names = HashSet::new();
        for Workload { op, shape, dtype, isa, .. } in &list {
            assert!(names.insert((op, shape, dtype, isa)), "{op} {shape} {dtype} {isa} twice");
        }
        for workload in &list {
            assert!(GROUPS.contains(&workload.group()) && workload.op.contains('/'), "{}", workload.op);
            assert!(workload.bytes > 0, "{}", workload.op);
        }
        for group in GROUPS {
            assert!(list.iter().any(|workload| workload.group() == group), "nothing in {group}");
        }
    }
}

#[test]
fn every_instruction_set_has_the_same_kernels() {
    let targets = Targets::available();
    let (isas, list) = (&targets.isas, all(&targets, Size::Full));
    let kernels = |isa: &Isa| {
        let mine = list.iter().filter(|workload| workload.isa == isa.name() && workload.dtype == "f32");
        // Those that are compiled once are the portable set's.
        mine.filter(|workload| isas.len() == 1 || !once(workload)).map(|w| (&w.op, &w.shape)).collect::<Vec<_>>()
    };
    let expected = kernels(&isas[0]);
    assert!(isas.iter().all(|isa| kernels(isa) == expected));
}

fn once(workload: &Workload) -> bool {
    workload.group() == "data" || workload.op.starts_with("packing/") && !workload.op.contains("gemm")
}

#[test]
fn every_portable_kernel_runs_from_several_pools() {
    let portable = Isa::named("portable").unwrap();
    let targets = Targets { isas: vec![portable], tiles: vec![TileTier::Decoded(Decoded(portable))] };
    for workload in all(&targets, Size::Quick) {
        // One product takes as long as everything else.
        if workload.group() == "gemm" && workload.shape != "784x6000x500" {
            continue;
        }
        let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut kernel = pool(1).install(|| workload.prepare()).unwrap();
        pool(2).install(&mut kernel);
    }
}
