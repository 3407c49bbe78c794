//! The AMX unit on the model and on silicon: against f64 products, and bit for bit against the model's own functions.
//!
//! The operands are made to meet every rule of the manual: subnormal numbers, results that underflow or overflow,
//! infinities, NaN, zeros of both signs.

use std::arch::asm;

use ffwd::internals::testing::{check, multiply};
use ffwd::internals::{ALL, BLOCK, Pair, Product, SIDE, Streamed, Tile, TileTier, TileUnit, round_to_bf16};
use ffwd::isa::Isa;
use libc::c_int;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use crate::handler::{products, step};
use crate::model::{Configuration, TileFile};
use crate::{amx_on_silicon, amx_on_the_model, on_the_model};

/// What a case is there for.
#[derive(Clone, Copy, Debug)]
pub enum Numbers {
    /// Exponents around that of 1.
    Ordinary,
    /// Products on both sides of the smallest normal float, sums that cancel; subnormal operands.
    Tiny,
    /// Products and sums on both sides of the largest float.
    Huge,
    /// Any bits, few in a row, so that one special operand does not drown the others.
    Few,
    /// Ordinary ones, and few infinities, NaN and subnormal numbers.
    Special,
}

/// Every kind.
pub const KINDS: [Numbers; 5] = [Numbers::Ordinary, Numbers::Tiny, Numbers::Huge, Numbers::Few, Numbers::Special];

impl Numbers {
    /// Numbers of either sign whose biased exponent is among `exponents`.
    fn around(exponents: std::ops::Range<u16>, rng: &mut Xoshiro256PlusPlus) -> u16 {
        rng.random_range(exponents) << 7 | rng.random::<u16>() & 0x807f
    }

    fn half(self, rng: &mut Xoshiro256PlusPlus) -> u16 {
        const SPECIAL: [u16; 8] = [0x7f80, 0xff80, 0x7fc0, 0x7f81, 0x0001, 0x807f, 0x8000, 0x0000];
        match self {
            Self::Tiny if rng.random_ratio(1, 8) => Self::around(0..1, rng),
            Self::Tiny => Self::around(58..68, rng),
            Self::Huge => Self::around(186..195, rng),
            Self::Few if rng.random_ratio(7, 8) => SPECIAL[6 + rng.random_range(0..2)],
            Self::Few => rng.random(),
            Self::Special if rng.random_ratio(1, 300) => SPECIAL[rng.random_range(0..8)],
            Self::Ordinary | Self::Special => Self::around(120..130, rng),
        }
    }

    /// A number that such products may be added to.
    fn float(self, rng: &mut Xoshiro256PlusPlus) -> f32 {
        let lower = u32::from(rng.random::<u16>());
        let upper = match self {
            Self::Tiny => Self::around(0..6, rng),
            Self::Huge => Self::around(240..255, rng),
            Self::Few => rng.random(),
            Self::Special if rng.random_ratio(1, 30) => Self::around(0..256, rng),
            Self::Ordinary | Self::Special => Self::around(118..135, rng),
        };
        f32::from_bits(u32::from(upper) << 16 | lower)
    }

    fn pairs(self, count: usize, rng: &mut Xoshiro256PlusPlus) -> Vec<Pair> {
        let mut tile = || Tile(std::array::from_fn(|_| std::array::from_fn(|_| self.half(rng))));
        (0..count).map(|_| [tile(), tile()]).collect()
    }
}

/// Compares a unit with what `expected` makes of the same products, bit for bit; any NaN equals any other.
pub fn compare<U: TileUnit>(unit: U, expected: impl Fn(Product<'_>)) {
    for (seed, numbers) in KINDS.into_iter().cycle().take(20).enumerate() {
        let rng = &mut Xoshiro256PlusPlus::seed_from_u64(seed as u64);
        let (count, of) = (rng.random_range(0..4), rng.random_range(1..4));
        let (a, b) = (numbers.pairs(count, rng), numbers.pairs(of, rng));
        let steps: Vec<u32> = (0..count).map(|_| rng.random_range(0..of as u32)).collect();
        let nonzero = &vec![ALL; count];
        let before: Vec<f32> = (0..BLOCK * BLOCK).map(|_| numbers.float(rng)).collect();
        for (adds, streamed) in [(false, Streamed::A), (true, Streamed::A), (false, Streamed::B), (true, Streamed::B)] {
            let (mut c, mut of_model) = (before.clone(), before.clone());
            multiply(unit, Product { a: &a, steps: &steps, nonzero, b: &b, c: &mut c, adds, streamed });
            expected(Product { a: &a, steps: &steps, nonzero, b: &b, c: &mut of_model, adds, streamed });
            for (at, (found, expected)) in c.iter().zip(of_model).enumerate() {
                let is_same = found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan();
                let (i, j) = (at / BLOCK, at % BLOCK);
                assert!(is_same, "{seed} {numbers:?} {count} {adds} {streamed:?} {i} {j}: {found:e} {expected:e}");
            }
        }
    }
}

/// The first element of C = `sum` + A B, where row 0 of A and column 0 of B are two pairs, in bf16, and zeros.
pub fn first_element<U: TileUnit>(unit: U, sum: f32, a: [[f32; 2]; 2], b: [[f32; 2]; 2]) -> f32 {
    let [mut of_a, mut of_b] = [[Tile([[0; BLOCK]; SIDE]); 2]; 2];
    for pair in 0..2 {
        for parity in 0..2 {
            of_a[0].0[0][2 * pair + parity] = round_to_bf16(a[pair][parity]);
            of_b[0].0[pair][parity] = round_to_bf16(b[pair][parity]);
        }
    }
    let mut c = vec![sum; BLOCK * BLOCK];
    let (a, b, nonzero) = (&[of_a], &[of_b], &[ALL]);
    multiply(unit, Product { a, steps: &[0], nonzero, b, c: &mut c, adds: true, streamed: Streamed::A });
    c[0]
}

/// Sums of two even products for which it matters how often and when something is rounded.
pub fn check_rounding<U: TileUnit>(unit: U) {
    let two_to = |exponent: i32| 2_f32.powi(exponent);
    let sum_of =
        |[a, b]: [f32; 2], [c, d]: [f32; 2]| first_element(unit, 0.0, [[a, 0.0], [c, 0.0]], [[b, 0.0], [d, 0.0]]);
    let name = unit.name();
    let most = sum_of([-two_to(127), 1.0], [two_to(126), 4.0]);
    assert_eq!(most, two_to(127), "{name}: 2^128 is no float, and is rounded with the sum only");
    // What is half a unit in the last place below the smallest normal float, 2^-126, or less, is rounded to it.
    let below_smallest = |a: f32, b: f32| sum_of([two_to(-63); 2], [-a, b]);
    assert_eq!(below_smallest(two_to(-76), two_to(-76)), f32::MIN_POSITIVE, "{name}");
    assert_eq!(below_smallest(two_to(-76), two_to(-75)), f32::MIN_POSITIVE, "{name}");
    // In the place of a subnormal number, the next ones would be rounded to it as well.
    assert_eq!(below_smallest(two_to(-76) * 1.5, two_to(-75)), 0.0, "{name}");
    assert_eq!(below_smallest(two_to(-75), two_to(-75)), 0.0, "{name}");
}

/// What `ldtilecfg` takes for eight tiles of 16 rows of 64 bytes.
fn whole_tiles() -> Configuration {
    let mut configuration = [0; 64];
    configuration[0] = 1;
    configuration[16..32].copy_from_slice(&[64, 0].repeat(8));
    configuration[48..56].fill(16);
    configuration
}

/// A tile of A or B, into register `number`.
fn load_halves(tiles: &mut TileFile, number: usize, tile: &Tile) {
    let read = |row: usize, to: &mut [u8]| {
        to.as_chunks_mut().0.iter_mut().zip(tile.0[row]).for_each(|(to, half)| *to = half.to_le_bytes());
    };
    tiles.load(number, read).expect("a tile that is configured");
}

/// Where in a block of C tile `number` of four begins.
fn quarter(number: usize) -> usize {
    number / 2 * SIDE * BLOCK + number % 2 * SIDE
}

/// A tile of C, into the register of its number.
fn load_floats(tiles: &mut TileFile, number: usize, c: &[f32]) {
    let read = |row: usize, to: &mut [u8]| {
        let from = &c[quarter(number) + row * BLOCK..];
        to.as_chunks_mut().0.iter_mut().zip(from).for_each(|(to, float)| *to = float.to_le_bytes());
    };
    tiles.load(number, read).expect("a tile that is configured");
}

/// A tile of C, from the register of its number.
fn store_floats(tiles: &TileFile, number: usize, c: &mut [f32]) {
    let write = |row: usize, from: &[u8]| {
        let to = &mut c[quarter(number) + row * BLOCK..];
        to.iter_mut().zip(from.as_chunks().0).for_each(|(to, float)| *to = f32::from_le_bytes(*float));
    };
    tiles.store(number, write).expect("a tile that is configured");
}

/// The product by the model's functions.
fn by_the_model(product: Product<'_>) {
    let Product { a, steps, b, c, adds, .. } = product;
    if steps.is_empty() && adds {
        return;
    }
    let mut tiles = TileFile::new();
    tiles.load_configuration(&whole_tiles()).expect("the manual allows it");
    if adds {
        (0..4).for_each(|number| load_floats(&mut tiles, number, c));
    }
    for (a, &step) in a.iter().zip(steps) {
        for half in 0..2 {
            load_halves(&mut tiles, 4 + half, &a[half]);
            load_halves(&mut tiles, 6 + half, &b[step as usize][half]);
        }
        for number in 0..4 {
            tiles.multiply(number, 4 + number / 2, 6 + number % 2).expect("tiles that fit");
        }
    }
    (0..4).for_each(|number| store_floats(&tiles, number, c));
}

#[test]
fn the_unit_keeps_its_contract_on_the_model_with_any_vectors() {
    on_the_model("units::the_unit_keeps_its_contract_on_the_model_with_any_vectors", || {
        Isa::available().into_iter().for_each(|isa| check(amx_on_the_model(isa)));
        Vec::new()
    });
}

#[test]
fn a_round_in_registers_is_four_products_of_tiles() {
    on_the_model("units::a_round_in_registers_is_four_products_of_tiles", || {
        let (unit, before) = (TileTier::Amx(amx_on_the_model(Isa::best())), products());
        assert_eq!(unit.multiply_registers(2), (2 * 4 * 2 * SIDE * SIDE * BLOCK) as u64);
        assert_eq!(products() - before, 2 * 4);
        Vec::new()
    });
}

#[test]
fn the_unit_executes_on_the_model_what_its_functions_compute() {
    on_the_model("units::the_unit_executes_on_the_model_what_its_functions_compute", || {
        let unit = amx_on_the_model(Isa::best());
        compare(unit, by_the_model);
        check_rounding(unit);
        Vec::new()
    });
}

#[test]
fn silicon_and_model_agree_bit_for_bit() {
    for isa in Isa::available() {
        if let Ok(unit) = amx_on_silicon(isa) {
            compare(unit, by_the_model);
            check_rounding(unit);
            check(unit);
        }
    }
}

/// What `ldtilecfg` takes for 3 rows of 8 bytes in tiles 0 and 1, and 2 such rows in tile 2.
fn small_tiles() -> Configuration {
    let mut configuration = [0; 64];
    configuration[0] = 1;
    configuration[16..22].copy_from_slice(&[8, 0, 8, 0, 8, 0]);
    configuration[48..51].copy_from_slice(&[3, 3, 2]);
    configuration
}

#[test]
fn a_configuration_can_be_read_back_and_sizes_tiles() {
    on_the_model("units::a_configuration_can_be_read_back_and_sizes_tiles", || {
        let _unit = amx_on_the_model(Isa::best());
        let (wanted, mut found, mut released) = (small_tiles(), [0xff_u8; 64], [0xff_u8; 64]);
        let one = u32::from_le_bytes([0x80, 0x3f, 0x80, 0x3f]);
        let (a, b) = ([one; 6], [one; 4]);
        let mut c = [[7.0_f32; 4]; 3];
        // SAFETY: the handler executes what the CPU does not; each operand has the rows that the configuration names.
        unsafe {
            asm!(
                "ldtilecfg [{wanted}]",
                "sttilecfg [{found}]",
                "tilezero tmm0",
                "tileloadd tmm1, [{a} + {row}*8]",
                "tileloaddt1 tmm2, [{b} + {row}*8]",
                "tdpbf16ps tmm0, tmm1, tmm2",
                "tdpbf16ps tmm0, tmm1, tmm2",
                "add {row}, {row}",
                "tilestored [{c} + {row}*8], tmm0",
                "tilerelease",
                "sttilecfg [{released}]",
                wanted = in(reg) &raw const wanted,
                found = in(reg) &raw mut found,
                released = in(reg) &raw mut released,
                a = in(reg) &raw const a,
                b = in(reg) &raw const b,
                c = in(reg) &raw mut c,
                row = inout(reg) 1_usize => _,
                out("tmm0") _, out("tmm1") _, out("tmm2") _,
                options(nostack),
            );
        }
        assert_eq!(found, wanted);
        assert_eq!(released, [0; 64]);
        assert_eq!(c, [[8.0, 8.0, 7.0, 7.0]; 3], "four products of ones in each of 3 x 2 sums, twice");
        Vec::new()
    });
}

/// Lets the handler execute `code` up to its first other instruction, as on a CPU that refuses all eight. Returns how
/// many bytes it has stepped over.
///
/// # Safety
///
/// `code` ends with an instruction that is none of the eight, and the operands of those before it may be read or
/// written as they do it.
unsafe fn step_through(code: &[u8], registers: &[(c_int, u64)]) -> usize {
    // SAFETY: zeros are a valid context: numbers, and pointers that are null, also that to the state of the vectors.
    let mut context: libc::ucontext_t = unsafe { std::mem::zeroed() };
    for &(register, value) in registers {
        context.uc_mcontext.gregs[register as usize] = value as i64;
    }
    context.uc_mcontext.gregs[libc::REG_RIP as usize] = code.as_ptr() as i64;
    // SAFETY: the caller's promise.
    while unsafe { step(&mut context) }.is_some() {}
    context.uc_mcontext.gregs[libc::REG_RIP as usize] as usize - code.as_ptr().addr()
}

#[test]
fn all_eight_instructions_are_executed_where_the_cpu_refuses_all() {
    const CODE: [u8; 50] = [
        0xc4, 0xe2, 0x78, 0x49, 0x00, // ldtilecfg [rax]
        0xc4, 0xe2, 0x79, 0x49, 0x01, // sttilecfg [rcx]
        0xc4, 0xe2, 0x7b, 0x49, 0xc0, // tilezero tmm0
        0xc4, 0xe2, 0x7b, 0x4b, 0x0c, 0x32, // tileloadd tmm1, [rdx + rsi*1]
        0xc4, 0xe2, 0x79, 0x4b, 0x14, 0x33, // tileloaddt1 tmm2, [rbx + rsi*1]
        0xc4, 0xe2, 0x6a, 0x5c, 0xc1, // tdpbf16ps tmm0, tmm1, tmm2
        0xc4, 0xe2, 0x7a, 0x4b, 0x04, 0x77, // tilestored [rdi + rsi*2], tmm0
        0xc4, 0xe2, 0x78, 0x49, 0xc0, // tilerelease
        0xc4, 0xc2, 0x79, 0x49, 0x00, // sttilecfg [r8]
        0x0f, 0x0b, // ud2
    ];
    let (wanted, mut found, mut released) = (small_tiles(), [0xff_u8; 64], [0xff_u8; 64]);
    // Rows of A are 1 2 3 4, then twice and three times that; B has two columns, of ones and of alternating signs.
    let rows = [1.0, 2.0, 3.0].map(|times| [1.0, 2.0, 3.0, 4.0].map(|value| round_to_bf16(times * value)));
    let columns = [[1.0, 1.0, 1.0, -1.0].map(round_to_bf16); 2];
    let mut c = [[7.0_f32; 4]; 3];
    let registers = [
        (libc::REG_RAX, (&raw const wanted).expose_provenance() as u64),
        (libc::REG_RCX, (&raw mut found).expose_provenance() as u64),
        (libc::REG_RDX, (&raw const rows).expose_provenance() as u64),
        (libc::REG_RBX, (&raw const columns).expose_provenance() as u64),
        (libc::REG_RSI, 8),
        (libc::REG_RDI, (&raw mut c).expose_provenance() as u64),
        (libc::REG_R8, (&raw mut released).expose_provenance() as u64),
    ];
    // SAFETY: the last instruction is `ud2`; each operand has the rows and bytes that the configuration names.
    let stepped = unsafe { step_through(&CODE, &registers) };
    assert_eq!(stepped, CODE.len() - 2);
    assert_eq!((found, released), (wanted, [0; 64]));
    assert_eq!(c, [[10.0, -2.0, 7.0, 7.0], [20.0, -4.0, 7.0, 7.0], [30.0, -6.0, 7.0, 7.0]]);
}

#[test]
fn what_the_manual_forbids_is_refused() {
    let refuses = |change: fn(&mut Configuration)| {
        let mut configuration = small_tiles();
        change(&mut configuration);
        let mut tiles = TileFile::new();
        tiles.load_configuration(&configuration).is_none()
    };
    assert!(!refuses(|_| ()));
    assert!(refuses(|configuration| configuration[0] = 2), "an unknown palette");
    assert!(refuses(|configuration| configuration[5] = 1), "a reserved byte");
    assert!(refuses(|configuration| configuration[48] = 17), "too many rows");
    assert!(refuses(|configuration| configuration[16] = 65), "too long rows");
    assert!(refuses(|configuration| configuration[48] = 0), "rows of no tile");
    assert!(refuses(|configuration| configuration[56] = 1), "a tile beyond the eighth");

    let mut tiles = TileFile::new();
    assert!(tiles.zero(0).is_none(), "no configuration");
    tiles.load_configuration(&small_tiles()).expect("the manual allows it");
    assert!(tiles.zero(0).is_some() && tiles.zero(3).is_none(), "a tile without rows");
    assert!(tiles.multiply(0, 1, 2).is_some() && tiles.multiply(0, 2, 1).is_none(), "tiles that do not fit");
    tiles.release();
    assert!(tiles.zero(0).is_none(), "released");
}
