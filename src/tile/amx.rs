//! The AMX unit: tile registers and `tdpbf16ps`, in inline assembly, because the intrinsics are not stable.
//!
//! Eight tile registers hold a block of C (tmm0 to tmm3) and a pair of A and of B each. A tile load from L1 takes 8
//! cycles and a product 16, so the four loads of a step hide behind its four products where one operand is in L1.
//!
//! Relies on nothing but the tiles' layout; the vectors around the products may be those of any instruction set.
//! `tests/tile` executes this very assembly on a model of the unit where the CPU lacks it.

use core::arch::asm;
use core::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};

use super::{BLOCK, Product, SIDE, Streamed, TileUnit, run_on_blocks};
use crate::isa::Isa;
use crate::simd::{Kernel, Simd};

/// Proof that this CPU has AMX with bf16, and that the operating system lets this process use it.
#[derive(Clone, Copy, Debug)]
pub struct Amx {
    vectors: Isa,
}

/// Why AMX cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// The CPU has no tile unit for bf16.
    Cpu,
    /// The operating system or the hypervisor does not save the tile registers, or denies them to this process.
    Denied,
}

/// Bytes between two rows of a tile in memory.
const ROW: usize = 64;

/// Bytes of a pair of tiles, as a power of two.
const PAIR_SHIFT: u32 = 11;

const _: () = assert!(1 << PAIR_SHIFT == size_of::<super::Pair>());

impl Amx {
    /// The token, where tiles can be used. Asks the operating system for permission, once for the process.
    ///
    /// # Errors
    ///
    /// The CPU lacks tiles, or this process may not use them.
    pub fn new() -> Result<Self, Lack> {
        if !cpu_has_tiles() {
            return Err(Lack::Cpu);
        }
        if system_saves_tiles() && is_permitted() { Ok(Self { vectors: Isa::best() }) } else { Err(Lack::Denied) }
    }

    /// The token with the vectors of `isa`, without a look at the machine: for tests that execute the instructions
    /// elsewhere, or want other vectors.
    ///
    /// # Safety
    ///
    /// The CPU has the unit and this process may use it, or a handler of invalid instructions does what they do.
    #[cfg(feature = "internals")]
    pub unsafe fn unchecked(isa: Isa) -> Self {
        Self { vectors: isa }
    }
}

/// CPUID leaf 7: bf16 products, tile registers.
fn cpu_has_tiles() -> bool {
    const BF16: u32 = 1 << 22;
    const TILE: u32 = 1 << 24;
    const LEAF: u32 = 7;
    // Every x86-64 CPU has CPUID; a leaf is asked for only where leaf 0 says that there is one.
    let has_leaf = __cpuid(0).eax >= LEAF;
    has_leaf && __cpuid_count(LEAF, 0).edx & (BF16 | TILE) == BF16 | TILE
}

/// XCR0: the operating system saves tile configuration and tile data.
fn system_saves_tiles() -> bool {
    const TILES: u64 = 0b11 << 17;

    #[target_feature(enable = "xsave")]
    fn enabled() -> u64 {
        // SAFETY: the function is called only where the CPU has XSAVE and the operating system has switched it on.
        unsafe { _xgetbv(0) }
    }
    const OSXSAVE: u32 = 1 << 27;
    let has_xgetbv = is_x86_feature_detected!("xsave") && __cpuid(1).ecx & OSXSAVE != 0;
    // SAFETY: both conditions have just been seen to hold.
    has_xgetbv && unsafe { enabled() } & TILES == TILES
}

/// Linux gives tile data to processes that ask for it; a hypervisor may deny it all the same.
#[cfg(target_os = "linux")]
fn is_permitted() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_ulong = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_ulong = 18;
    // SAFETY: the call takes two numbers and touches no memory of ours.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn is_permitted() -> bool {
    false
}

/// What `ldtilecfg` loads: palette 1, eight tiles of 16 rows of 64 bytes.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

static CONFIGURATION: Configuration = {
    let (mut row_bytes, mut rows) = ([0; 16], [0; 16]);
    let mut tile = 0;
    while tile < 8 {
        (row_bytes[tile], rows[tile]) = (ROW as u16, SIDE as u8);
        tile += 1;
    }
    Configuration { palette: 1, start_row: 0, reserved: [0; 14], row_bytes, rows }
};

/// Tile registers configured on this thread; gives them back when it is dropped, so that no other code finds tile
/// state.
struct Configured;

impl Configured {
    fn new(_: Amx) -> Self {
        // SAFETY: the token proves that the instruction may be used; the configuration is one that palette 1 allows.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) &raw const CONFIGURATION, options(readonly, nostack, preserves_flags))
        };
        Self
    }
}

impl Drop for Configured {
    fn drop(&mut self) {
        // SAFETY: the value exists, so tiles are configured on this thread.
        unsafe { asm!("tilerelease", options(nomem, nostack, preserves_flags)) };
    }
}

/// The whole of one block of C, from its first tile load to its last store. `$a_load` and `$b_load` load tiles of A and
/// B; the streaming load leaves in L1 what the other operand has there. Each step asks for four lines behind the block,
/// where the next one is: the 64 lines of a block of dW come from beyond L2 and would be waited for.
macro_rules! multiply {
    ($a_load:literal, $b_load:literal, $a:ident, $steps:ident, $b:ident, $c:ident, $adds:ident) => {
        asm!(
            "test {adds:e}, {adds:e}",
            "jnz 3f",
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "jmp 2f",
            "3:",
            "tileloadd tmm0, [{c} + {c_row}*1]",
            "tileloadd tmm1, [{c} + {c_row}*1 + 64]",
            "tileloadd tmm2, [{c} + {c_row}*1 + 2048]",
            "tileloadd tmm3, [{c} + {c_row}*1 + 2112]",
            "2:",
            "mov {step:e}, dword ptr [{steps}]",
            "shl {step}, {pair_shift}",
            "add {step}, {b}",
            "prefetchw [{next}]",
            "prefetchw [{next} + 64]",
            concat!($a_load, " tmm4, [{a} + {row}*1]"),
            concat!($b_load, " tmm6, [{step} + {row}*1]"),
            concat!($a_load, " tmm5, [{a} + {row}*1 + 1024]"),
            "tdpbf16ps tmm0, tmm4, tmm6",
            "prefetchw [{next} + 128]",
            "prefetchw [{next} + 192]",
            concat!($b_load, " tmm7, [{step} + {row}*1 + 1024]"),
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "add {next}, 256",
            "add {a}, 2048",
            "add {steps}, 4",
            "dec {count}",
            "jnz 2b",
            "tilestored [{c} + {c_row}*1], tmm0",
            "tilestored [{c} + {c_row}*1 + 64], tmm1",
            "tilestored [{c} + {c_row}*1 + 2048], tmm2",
            "tilestored [{c} + {c_row}*1 + 2112], tmm3",
            adds = in(reg) u32::from($adds),
            a = inout(reg) $a.as_ptr() => _,
            steps = inout(reg) $steps.as_ptr() => _,
            count = inout(reg) $steps.len() => _,
            b = in(reg) $b.as_ptr(),
            c = in(reg) $c.as_mut_ptr(),
            next = inout(reg) $c.as_mut_ptr_range().end => _,
            c_row = in(reg) BLOCK * size_of::<f32>(),
            row = in(reg) ROW,
            step = out(reg) _,
            pair_shift = const PAIR_SHIFT,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        )
    };
}

impl TileUnit for Amx {
    const LEAVES_OUT_PAIRS: bool = false;

    const RUNS_BESIDE_VECTORS: bool = true;

    /// With whole tiles as full as lines, a strip becomes sparse below 1/12, 8% of its units on: among the shares that
    /// were tried, 7% and 10% did better than 12% and 20%. Not measured since the rule goes by the zeros of a strip.
    const COST_OF_SPARSE: f64 = 12.0;

    fn name(self) -> &'static str {
        "amx"
    }

    fn run<K: Kernel>(self, kernel: K) -> K::Output {
        let _configured = Configured::new(self);
        run_on_blocks(self.vectors, kernel)
    }

    #[inline(always)]
    fn multiply<S: Simd>(self, _: S, product: Product<'_>) {
        product.assert_shapes();
        let Product { a, steps, b, c, adds, streamed, .. } = product;
        if steps.is_empty() {
            if !adds {
                c.fill(0.0);
            }
            return;
        }
        // SAFETY: the token proves that the instructions may be used, and `run` has configured the tiles of this
        // thread; each step reads one pair of `a` and the pair of `b` that it names, all inside their slices, as the
        // shapes have been seen to say; C is 32 rows of 32 floats, of which each of the four tiles is 16 rows of 16.
        // A prefetch beyond C neither reads nor writes. Where no tiles are configured, the CPU refuses the first
        // instruction, and no memory is touched.
        unsafe {
            match streamed {
                Streamed::A => multiply!("tileloaddt1", "tileloadd", a, steps, b, c, adds),
                Streamed::B => multiply!("tileloadd", "tileloaddt1", a, steps, b, c, adds),
            }
        }
    }

    #[inline(always)]
    fn multiply_registers(self, rounds: usize) -> u64 {
        const PRODUCTS: usize = 4;
        if rounds > 0 {
            // SAFETY: the token proves that the instructions may be used, and `run` has configured the tiles of this
            // thread; only registers are touched.
            unsafe { multiply_registers(rounds) };
        }
        (rounds * PRODUCTS * 2 * SIDE * SIDE * BLOCK) as u64
    }
}

/// The four products of a step of [`multiply!`], `rounds` times, at least once, on tiles of zeros.
///
/// # Safety
///
/// The instructions may be used, and tiles are configured on this thread.
unsafe fn multiply_registers(rounds: usize) {
    // SAFETY: the caller promises that the instructions may be used; they touch tile registers and a counter, all of
    // them named, and no memory. The counter begins at 1 at least, so that the loop ends.
    unsafe {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "tilezero tmm4",
            "tilezero tmm5",
            "tilezero tmm6",
            "tilezero tmm7",
            "2:",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "dec {count}",
            "jnz 2b",
            count = inout(reg) rounds => _,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nomem, nostack),
        );
    }
}
