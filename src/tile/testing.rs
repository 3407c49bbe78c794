//! What holds any tile unit to its contract: f64 products of the same bf16 operands.
//!
//! Relies on the layout of tiles alone. The units' own tests use it, and `tests/tile` on a model of the AMX unit.

use super::*;

/// Numbers that look random and are exact in bf16.
fn operand(seed: u32, count: usize) -> Vec<Pair> {
    let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        round_to_bf16((state >> 8) as f32 / (1 << 23) as f32 - 1.0)
    };
    (0..count)
        .map(|_| std::array::from_fn(|_| Tile(std::array::from_fn(|_| std::array::from_fn(|_| next())))))
        .collect()
}

/// Row `i`, step `s` of A.
fn of_a(pair: &Pair, i: usize, s: usize) -> f64 {
    from_bf16(pair[i / SIDE].0[i % SIDE][s]).into()
}

/// Step `s`, column `j` of B.
fn of_b(pair: &Pair, s: usize, j: usize) -> f64 {
    from_bf16(pair[j / SIDE].0[s / 2][2 * (j % SIDE) + s % 2]).into()
}

/// Makes every third pair of steps zero in a group of rows, another one in each group.
fn zero_some(pair: &mut Pair) {
    for (i, row) in pair.iter_mut().flat_map(|tile| &mut tile.0).enumerate() {
        let pairs = row.as_chunks_mut::<2>().0.iter_mut().enumerate();
        pairs.filter(|(number, _)| (number + i / GROUP).is_multiple_of(3)).for_each(|(_, pair)| *pair = [0, 0]);
    }
}

/// What [`Product::nonzero`] says of a pair of A.
fn nonzero(pair: &Pair) -> Nonzero {
    let rows: Vec<_> = pair.iter().flat_map(|tile| tile.0).collect();
    std::array::from_fn(|group| {
        let has = |number: usize| rows[group * GROUP..][..GROUP].iter().any(|row| row[2 * number..][..2] != [0, 0]);
        (0..SIDE).filter(|&number| has(number)).map(|number| 1 << number).sum()
    })
}

struct Multiply<'a, U>(U, Product<'a>);

impl<U: TileUnit> Kernel for Multiply<'_, U> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        assert_eq!(S::LANES, BLOCK);
        self.0.multiply(simd, self.1);
    }
}

/// Computes one block of C with the unit ready on this thread.
pub fn multiply<U: TileUnit>(unit: U, product: Product<'_>) {
    unit.run(Multiply(unit, product));
}

/// Holds a unit to what [`TileUnit::multiply`] promises.
///
/// # Panics
///
/// An element of C is further from the product in f64 than rounding each addition can have moved it.
pub fn check<U: TileUnit>(unit: U) {
    for (count, of) in [(0, 3), (1, 1), (2, 5), (7, 9), (16, 16)] {
        let (mut a, b) = (operand(1, count), operand(2, of));
        a.iter_mut().for_each(zero_some);
        let nonzero: Vec<Nonzero> = a.iter().map(nonzero).collect();
        let steps: Vec<u32> = (0..count).map(|i| (i * of / count.max(1)) as u32).collect();
        for (adds, streamed) in [(false, Streamed::A), (true, Streamed::A), (false, Streamed::B), (true, Streamed::B)] {
            let before: Vec<f32> = (0..BLOCK * BLOCK).map(|i| (i % 7) as f32 - 3.0).collect();
            let mut c = if adds { before.clone() } else { vec![f32::NAN; BLOCK * BLOCK] };
            multiply(unit, Product { a: &a, steps: &steps, nonzero: &nonzero, b: &b, c: &mut c, adds, streamed });
            for (at, &found) in c.iter().enumerate() {
                let (i, j) = (at / BLOCK, at % BLOCK);
                let products = a.iter().zip(&steps).flat_map(|(a, &step)| {
                    let b = &b[step as usize];
                    (0..BLOCK).map(move |s| of_a(a, i, s) * of_b(b, s, j))
                });
                let (mut sum, mut magnitude) = if adds { (f64::from(before[at]), 3.0) } else { (0.0, 0.0) };
                for product in products {
                    (sum, magnitude) = (sum + product, magnitude + product.abs());
                }
                // Each of 32 products a step is added in f32, in whatever order: half a unit in the last place each.
                let tolerance = f64::from(f32::EPSILON) * magnitude * (1.0 + (count * BLOCK) as f64 / 2.0);
                assert!((f64::from(found) - sum).abs() <= tolerance, "{} {count} {adds} {i} {j}", unit.name());
            }
        }
    }
}
