//! Every tile unit against f64 products of the same bf16 operands, and the conversions against their definition.

use super::testing::check;
use super::*;
use crate::isa::Isa;

#[test]
fn decoded_tiles_are_multiplied_on_every_instruction_set() {
    Isa::under_test().into_iter().for_each(|isa| check(Decoded(isa)));
}

#[cfg(target_arch = "x86_64")]
#[test]
fn tiles_are_multiplied_by_the_units_that_this_machine_has() {
    match Amx::new() {
        Ok(unit) => check(unit),
        Err(lack) => println!("amx: not run on silicon: {lack:?}"),
    }
    match Avx512Bf16::new() {
        Some(unit) => check(unit),
        None => println!("avx512bf16: not run on silicon"),
    }
}

#[test]
fn numbers_are_rounded_to_the_nearest_bf16_and_ties_to_even() {
    let bits = |value: f32| round_to_bf16(value);
    assert_eq!([bits(1.0), bits(-2.5), bits(0.0), bits(-0.0)], [0x3f80, 0xc020, 0, 0x8000]);
    // Between 1 and the next number, 1 + 1/128: a tie goes to the even one.
    assert_eq!([bits(1.0 + 1.0 / 256.0), bits(1.0 + 3.0 / 256.0)], [0x3f80, 0x3f82]);
    assert_eq!(bits(1.0 + 1.1 / 256.0), 0x3f81);
    assert_eq!([bits(f32::MAX), bits(f32::INFINITY), bits(f32::NEG_INFINITY)], [0x7f80, 0x7f80, 0xff80]);
    assert_eq!([bits(f32::MIN_POSITIVE / 2.0), bits(-f32::MIN_POSITIVE / 2.0)], [0, 0x8000], "subnormals become zero");
    for nan in [f32::NAN, f32::from_bits(0x7f80_0001), f32::from_bits(0xffff_ffff)] {
        assert!(from_bf16(bits(nan)).is_nan());
    }
    for i in 0..200_000_u32 {
        let value = f32::from_bits(i.wrapping_mul(0x9e37_79b9));
        if value.is_normal() && value.abs() < 1e38 {
            let gap = (f64::from(from_bf16(bits(value))) - f64::from(value)).abs();
            assert!(gap <= f64::from(value.abs()) / 256.0, "{value}");
        }
    }
}
